//! The sum of all elements, or along an axis. 16 partials (index mod 16) and one fixed tree, on every path.

use super::*;
use crate::graph::{Along, RowOp};

/// The sum of all elements: a scalar; or along an axis, which goes.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// Along which axis; of all elements if none.
    pub axis: Option<usize>,
}

impl Primitive for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn attributes(&self) -> Attributes {
        axis_attribute(self.axis)
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        reduced(args, self.axis)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(self.axis.map_or(RowOp::Sum, |axis| RowOp::Along { what: Along::Sum, axis }))
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.grad().spread(&vjp.ty(0).shape, self.axis));
    }
}
