//! A loss and its targets: the JSON that names it, arrays checked against the shape of the output.

use super::arguments::{Arguments, Elements};
use super::arrays::Array;
use super::typed::Float;
use crate::error::Error;
use crate::layers::Chain;
use crate::model::Target;
use pyo3::prelude::*;
use serde::Deserialize;

/// What the JSON says.
#[derive(Deserialize)]
#[serde(tag = "loss", rename_all = "snake_case", deny_unknown_fields)]
enum Loss {
    CrossEntropy { ignore_index: Option<i64> },
    Bernoulli {},
    Mse {},
}

/// A loss with its targets and weights.
pub(super) struct Targets<'py, E: Float> {
    loss: &'static str,
    values: Elements<'py, E>,
    weights: Option<Array<'py, E>>,
    ignore_index: Option<i64>,
}

impl<'py, E: Float> Targets<'py, E> {
    /// Checks element types and shapes.
    pub(super) fn read(
        chain: &Chain<E>,
        arguments: &Arguments<'py, E>,
        loss: &str,
        targets: &Bound<'py, PyAny>,
        weights: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let loss = serde_json::from_str(loss).map_err(|error| Error::value("loss", "a loss as JSON", error))?;
        let (loss, ignore_index) = match loss {
            Loss::CrossEntropy { ignore_index } => ("cross_entropy", ignore_index),
            Loss::Bernoulli {} => ("bernoulli", None),
            Loss::Mse {} => ("mse", None),
        };
        let steps = arguments.output_steps(chain);
        let values = if loss == "cross_entropy" {
            Elements::Tokens(Array::read_shaped("targets of cross_entropy", targets, &steps)?)
        } else {
            Elements::Float(Array::read_shaped(format!("targets of {loss}"), targets, &arguments.output(chain))?)
        };
        let weights = weights.map(|weights| Array::read_shaped("weights", weights, &steps)).transpose()?;
        Ok(Self { loss, values, weights, ignore_index })
    }

    /// The targets as the core takes them.
    pub(super) fn borrow(&self) -> Target<'_, E> {
        Target {
            loss: self.loss,
            values: self.values.values(),
            weights: self.weights.as_ref().map(Array::data),
            ignore_index: self.ignore_index,
        }
    }
}
