//! What a primitive must provide: a shape rule, an evaluation, a vector-Jacobian product.

use super::reverse::Vjp;
use super::{NodeId, Type};
use crate::kernels::Elementwise;
use serde_json::{Map, Value as Json};
use std::fmt::Debug;

/// An operation from which cells are made. The trait has no defaults for its three parts, so the compiler refuses a
/// primitive that lacks one.
pub trait Primitive: Debug + Send + Sync {
    /// The name in files and in the exporter's table.
    fn name(&self) -> &'static str;

    /// Grows when the meaning of a stored node changes; it stands in the table.
    fn version(&self) -> u32 {
        super::primitives::TABLE.iter().find(|entry| entry.0 == self.name()).map_or(0, |entry| entry.1)
    }

    /// What distinguishes two nodes of this primitive with the same arguments; stored in files.
    fn attributes(&self) -> Map<String, Json> {
        Map::new()
    }

    /// The result's type, or what is wrong with the arguments.
    fn infer(&self, args: &[&Type]) -> Result<Type, String>;

    /// How the engine computes it.
    fn evaluation(&self) -> Evaluation;

    /// Gives each argument its gradient: `vjp.give(i, ...)`.
    fn vjp(&self, vjp: &Vjp<'_>);
}

/// How the engine computes a primitive.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluation {
    /// Element by element: fused with its neighbours into block programs.
    Elementwise(Elementwise),
    /// Products with parameters: one GEMM on packed panels. Arguments: the initial value (if `init`), then
    /// (x, W) for each term; W is used as `x · Wᵀ`, or as `x · W` where transposed.
    Affine {
        /// Whether the first argument is the initial value of the accumulators.
        init: bool,
        /// For each term, whether W is used as stored.
        transposed: Vec<bool>,
    },
    /// Row by row: reductions, copies of columns, gathers, draws.
    Row(RowOp),
    /// A sum over all steps and samples: the gradient of a parameter.
    Accumulate(Accumulation),
}

/// Evaluations that work on whole rows.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOp {
    /// The sum of a row.
    Sum,
    /// The largest element of a row.
    Max,
    /// A scalar repeated over a row.
    Broadcast,
    /// Columns `source..source + count` of the argument become columns `target..` of a row that is zero elsewhere.
    Columns {
        /// First column read.
        source: usize,
        /// First column written.
        target: usize,
        /// How many columns.
        count: usize,
    },
    /// The arguments side by side.
    Concat,
    /// Row `index` of a parameter (arguments: parameter, index).
    Gather,
    /// Element `index` of each row (arguments: row, index).
    Pick,
    /// The argument at column `index`, zero elsewhere (arguments: scalar, index).
    Place,
    /// A draw: `value` with probability `probability`, else 0.
    Bernoulli {
        /// Probability of drawing `value`.
        probability: f64,
        /// What is drawn.
        value: f64,
        /// One draw for all steps of a sequence instead of one a step.
        per_sequence: bool,
        /// Distinguishes draws within a cell.
        name: String,
    },
}

/// Sums over steps and samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulation {
    /// Σ a: the gradient of a parameter used elementwise.
    Sum,
    /// Σ aᵀ·b: the gradient of a weight.
    Outer,
    /// Σ over samples of the rows of b placed at row `a`: the gradient of an embedding. Arguments: index, gradient.
    Rows,
}

/// A short description of a node's use in messages.
pub(crate) fn describe(name: &str, id: NodeId) -> String {
    format!("node {id} ({name})")
}
