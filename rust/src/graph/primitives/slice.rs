//! Elements `from..to` along an axis.

use super::*;
use crate::graph::{Along, RowOp};

/// Elements `from..to` along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// First element.
    pub from: usize,
    /// One past the last.
    pub to: usize,
    /// The axis.
    pub axis: usize,
}

impl Primitive for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = place_attribute(self.axis);
        attributes.extend([("from".to_string(), json!(self.from)), ("to".to_string(), json!(self.to))]);
        attributes
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [ty] = arguments::<1>(args)?;
        let length = ty.shape.get(self.axis).copied().unwrap_or(0);
        // A parameter of rank 3 has slices along its first axis, which are views.
        if ty.kind != Kind::Float || self.from >= self.to || self.to > length || (ty.shape.len() > 2 && self.axis > 0) {
            return Err(format!(
                "expected a range within axis {} of a vector or matrix, got {}..{} of {ty}",
                self.axis, self.from, self.to
            ));
        }
        let mut shape = ty.shape.clone();
        shape[self.axis] = self.to - self.from;
        Ok(Type::float(&shape))
    }

    fn evaluation(&self) -> Evaluation {
        // Of a parameter it is a view.
        Evaluation::Row(RowOp::Along { what: Along::Part { from: self.from }, axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let total = vjp.ty(0).shape[self.axis];
        vjp.give_with(0, |vjp| vjp.builder().apply(Pad { before: self.from, total, axis: self.axis }, &[vjp.grad()]));
    }
}
