//! A scalar at one place of a row of zeros: the gradient of a pick.

use super::*;
use crate::graph::RowOp;

/// A vector that is zero except for the argument at `index`. Arguments: scalar, index.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Elements of the result.
    pub width: usize,
}

impl Primitive for Place {
    fn name(&self) -> &'static str {
        "place"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("width".to_string(), json!(self.width))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [scalar, index] = arguments::<2>(args)?;
        if scalar.width() != 1 || scalar.kind != Kind::Float || index.kind != Kind::Int || !index.shape.is_empty() {
            return Err(format!("expected a scalar and an index, got {scalar} and {index}"));
        }
        Ok(Type::float(&[self.width]))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Place)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.grad().pick(vjp.arg(1)));
    }
}
