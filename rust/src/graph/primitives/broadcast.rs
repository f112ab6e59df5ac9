//! A scalar repeated to a shape.

use super::*;
use crate::graph::RowOp;

/// A scalar repeated to `shape`.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Vec<usize>,
}

impl Primitive for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("shape".to_string(), json!(self.shape))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [scalar] = arguments::<1>(args)?;
        if scalar.width() != 1 || scalar.kind != Kind::Float {
            return Err(format!("expected a scalar, got {scalar}"));
        }
        Ok(Type::float(&self.shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Broadcast)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.grad().sum());
    }
}
