//! Values side by side along an axis.

use super::*;
use crate::graph::RowOp;

/// Values one after the other along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Primitive for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn attributes(&self) -> Attributes {
        place_attribute(self.axis)
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let Some(first) = args.first() else { return Err("expected at least one argument, got none".into()) };
        let mut shape = first.shape.clone();
        if !(1..=2).contains(&shape.len()) || self.axis >= shape.len() {
            return Err(format!("expected vectors or matrices with axis {}, got {first}", self.axis));
        }
        shape[self.axis] = 0;
        for ty in args {
            let others = |shape: &[usize]| {
                let mut shape = shape.to_vec();
                shape[self.axis] = 0;
                shape
            };
            if ty.kind != Kind::Float
                || ty.shape.len() != shape.len()
                || others(&ty.shape) != others(&shape)
            {
                return Err(format!("expected values that differ in axis {} only, got {first} and {ty}", self.axis));
            }
            shape[self.axis] += ty.shape[self.axis];
        }
        Ok(Type::float(&shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Concat { axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let mut from = 0;
        for i in 0..vjp.count() {
            let to = from + vjp.ty(i).shape[self.axis];
            vjp.give_with(i, |vjp| vjp.grad().slice_axis(self.axis, from, to));
            from = to;
        }
    }
}
