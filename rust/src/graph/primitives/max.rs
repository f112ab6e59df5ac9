//! The largest of all elements, or along an axis. NaN wins.

use super::*;
use crate::graph::{Along, RowOp};

/// The largest element; its gradient is shared equally among ties.
#[derive(Clone, Copy, Debug)]
pub struct Max {
    /// Along which axis; of all elements if none.
    pub axis: Option<usize>,
}

impl Primitive for Max {
    fn name(&self) -> &'static str {
        "max"
    }

    fn attributes(&self) -> Attributes {
        axis_attribute(self.axis)
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        reduced(args, self.axis)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(self.axis.map_or(RowOp::Max, |axis| RowOp::Along { what: Along::Max, axis }))
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| {
            let shape = &vjp.ty(0).shape;
            let ties = vjp.builder().apply(Equal, &[vjp.arg(0), vjp.out().spread(shape, self.axis)]);
            let count = vjp.builder().apply(Sum { axis: self.axis }, &[ties]);
            ties * (vjp.grad() / count).spread(shape, self.axis)
        });
    }
}
