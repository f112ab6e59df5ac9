//! Where the largest element along an axis is.

use super::*;
use crate::graph::{Along, RowOp};

/// The index of the largest element, the first of several; of the first NaN, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Argmax {
    /// The axis.
    pub axis: usize,
}

impl Primitive for Argmax {
    fn name(&self) -> &'static str {
        "argmax"
    }

    fn attributes(&self) -> Attributes {
        place_attribute(self.axis)
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        Ok(Type::int(&reduced(args, Some(self.axis))?.shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Along { what: Along::Argmax, axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.nothing();
    }
}
