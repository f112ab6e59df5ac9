//! The order of the elements along an axis.

use super::*;
use crate::graph::{Along, RowOp};

/// Indices of the elements from the least to the greatest: stable, so ties go to the lower index; NaN comes last.
#[derive(Clone, Copy, Debug)]
pub struct Argsort {
    /// The axis.
    pub axis: usize,
}

impl Primitive for Argsort {
    fn name(&self) -> &'static str {
        "argsort"
    }

    fn attributes(&self) -> Attributes {
        place_attribute(self.axis)
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        Ok(Type::int(&along(args, self.axis)?.shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Along { what: Along::Argsort, axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.nothing();
    }
}
