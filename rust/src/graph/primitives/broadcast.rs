//! A scalar repeated to a shape, or a vector along an axis of a matrix.

use super::*;
use crate::graph::{Along, RowOp};

/// A scalar repeated to `shape`; with an axis, a vector repeated along that axis of a matrix.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Vec<usize>,
    /// The axis of the result along which all is alike; none for a scalar.
    pub axis: Option<usize>,
}

impl Primitive for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = axis_attribute(self.axis);
        attributes.insert("shape".to_string(), json!(self.shape));
        attributes
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [value] = arguments::<1>(args)?;
        let fits = match self.axis {
            None => value.width() == 1,
            Some(axis) => self.shape.len() == 2 && axis < 2 && value.shape == [self.shape[1 - axis]],
        };
        if value.kind != Kind::Float || !fits {
            let what = if self.axis.is_none() { "a scalar" } else { "a vector along the other axis" };
            return Err(format!("expected {what} to repeat to {}, got {value}", Type::float(&self.shape)));
        }
        Ok(Type::float(&self.shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(self.axis.map_or(RowOp::Broadcast, |axis| RowOp::Along { what: Along::Repeat, axis }))
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| {
            let sum = vjp.builder().apply(Sum { axis: self.axis }, &[vjp.grad()]);
            // A scalar may come as a vector of one element.
            sum.reshape(&vjp.ty(0).shape)
        });
    }
}
