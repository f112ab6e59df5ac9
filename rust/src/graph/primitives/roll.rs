//! A circular shift along an axis.

use super::*;
use crate::graph::{Along, RowOp};

/// Element k goes to k + shift, modulo the extent.
#[derive(Clone, Copy, Debug)]
pub struct Roll {
    /// The axis.
    pub axis: usize,
    /// By how much, either way.
    pub shift: i64,
}

impl Roll {
    pub(super) fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let found = attributes.get("shift");
        let shift = found.and_then(Json::as_i64);
        let shift = shift.ok_or_else(|| format!("expected attribute 'shift' to be an integer, got {found:?}"))?;
        Ok(Self { axis: place(attributes)?, shift })
    }
}

impl Primitive for Roll {
    fn name(&self) -> &'static str {
        "roll"
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = place_attribute(self.axis);
        attributes.insert("shift".to_string(), json!(self.shift));
        attributes
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        along(args, self.axis)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Along { what: Along::Roll { shift: self.shift }, axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let back = Self { axis: self.axis, shift: self.shift.saturating_neg() };
        vjp.give_with(0, |vjp| vjp.builder().apply(back, &[vjp.grad()]));
    }
}
