//! Sums of all elements up to each, along an axis.

use super::*;
use crate::graph::{Along, RowOp};

/// Sums of the elements up to and with each, from the first or (`reverse`) from the last.
#[derive(Clone, Copy, Debug)]
pub struct Cumsum {
    /// The axis.
    pub axis: usize,
    /// Whether sums begin at the last element.
    pub reverse: bool,
}

impl Cumsum {
    pub(super) fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let found = attributes.get("reverse");
        let reverse = found.map_or(Some(false), Json::as_bool);
        let reverse = reverse.ok_or_else(|| format!("expected attribute 'reverse' to be a boolean, got {found:?}"))?;
        Ok(Self { axis: place(attributes)?, reverse })
    }
}

impl Primitive for Cumsum {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = place_attribute(self.axis);
        attributes.insert("reverse".to_string(), json!(self.reverse));
        attributes
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        along(args, self.axis)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Along { what: Along::Cumsum { reverse: self.reverse }, axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| {
            vjp.builder().apply(Self { axis: self.axis, reverse: !self.reverse }, &[vjp.grad()])
        });
    }
}
