//! A model's layers as plain data: what Python passes in and what files hold.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A chain of layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Whether names of parameters begin with the layer's index: "1.weight_ih_l0".
    pub prefix: bool,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// A row of a table for each token.
    Embedding {
        /// Rows: tokens are 0 to this - 1.
        num_embeddings: usize,
        /// Columns.
        embedding_dim: usize,
    },
    /// A cell over time, stacked.
    Recurrent {
        /// The cell's name.
        cell: String,
        /// Its options; `input_size` is that of the first layer.
        options: Json,
        /// Of a cell that is not in the table, the graph in each layer of the stack, as graphs are stored.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        graphs: Vec<Json>,
        /// Layers of the stack.
        #[serde(default = "one")]
        num_layers: usize,
        /// Whether a second cell reads the sequence backwards; outputs side by side.
        #[serde(default)]
        bidirectional: bool,
        /// Dropout between layers of the stack.
        #[serde(default)]
        dropout: f64,
        /// Whether each layer's input is added to its output. A first layer of another width has none, if others have.
        #[serde(default)]
        residual: bool,
        /// Whether each layer's output is its input and its result side by side.
        #[serde(default)]
        dense: bool,
        /// Whether there is batch normalisation between layers of the stack.
        #[serde(default)]
        batch_norm: bool,
        /// How time runs.
        #[serde(default)]
        scan: Scan,
        /// Whether names end in the layer and direction: "_l0", "_l0_reverse".
        #[serde(default = "yes")]
        suffix: bool,
    },
    /// y = x · mask / (1 − p) in training, x otherwise.
    Dropout {
        /// Probability of dropping a unit.
        p: f64,
    },
    /// y = W x + b.
    Linear {
        /// Width of x.
        in_features: usize,
        /// Width of y.
        out_features: usize,
        /// Whether there is b.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Layer normalisation over the features of each step.
    LayerNorm {
        /// Width.
        features: usize,
        /// Added to the variance.
        #[serde(default = "eps")]
        eps: f64,
    },
    /// Batch normalisation over the valid steps of all rows.
    BatchNorm {
        /// Width.
        features: usize,
        /// Added to the variance.
        #[serde(default = "eps")]
        eps: f64,
        /// How far the running statistics move with a batch.
        #[serde(default = "momentum")]
        momentum: f64,
    },
    /// Each row's last valid step.
    Last,
}

/// How time runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scan {
    /// Step by step.
    #[default]
    Loop,
    /// In segments side by side, where the recurrence is linear.
    Parallel,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

pub(super) fn eps() -> f64 {
    1e-5
}

pub(super) fn momentum() -> f64 {
    0.1
}

impl Spec {
    /// Reads a specification.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|e| Error::value("model specification", "JSON of layers", e))
    }

    /// Its canonical text.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a specification holds nothing that JSON cannot")
    }
}
