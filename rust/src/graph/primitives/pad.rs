//! A value placed among zeros along an axis: the gradient of a slice.

use super::*;
use crate::graph::{Along, RowOp};

/// The argument as elements `before..` of `total` along an axis, zero elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Pad {
    /// Zeros before it.
    pub before: usize,
    /// Extent of the result.
    pub total: usize,
    /// The axis.
    pub axis: usize,
}

impl Primitive for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = place_attribute(self.axis);
        attributes.extend([("before".to_string(), json!(self.before)), ("total".to_string(), json!(self.total))]);
        attributes
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [ty] = arguments::<1>(args)?;
        let length = ty.shape.get(self.axis).copied().unwrap_or(usize::MAX);
        let fits = self.before.checked_add(length).is_some_and(|end| end <= self.total);
        if ty.kind != Kind::Float || (ty.shape.len() > 2 && self.axis > 0) || !fits {
            return Err(format!(
                "expected a vector or matrix that fits {} from {} along axis {}, got {ty}",
                self.total, self.before, self.axis
            ));
        }
        let mut shape = ty.shape.clone();
        shape[self.axis] = self.total;
        Ok(Type::float(&shape))
    }

    fn evaluation(&self) -> Evaluation {
        // Of a parameter's gradient it is a place in the parameter.
        Evaluation::Row(RowOp::Along { what: Along::Pad { before: self.before }, axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let length = vjp.ty(0).shape[self.axis];
        vjp.give_with(0, |vjp| vjp.grad().slice_axis(self.axis, self.before, self.before + length));
    }
}
