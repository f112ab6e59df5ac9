//! Products of all elements up to each, along an axis, and their gradient, which is exact where elements are zero.

use super::*;
use crate::graph::{Along, RowOp};

/// pₖ = x₀ · … · xₖ.
#[derive(Clone, Copy, Debug)]
pub struct Cumprod {
    /// The axis.
    pub axis: usize,
}

/// The gradient of a cumulative product without a division: dxₖ = pₖ₋₁ sₖ, sₖ = gₖ + xₖ₊₁ sₖ₊₁. Arguments: x, g.
#[derive(Clone, Copy, Debug)]
pub struct CumprodGradient {
    /// The axis.
    pub axis: usize,
}

impl Primitive for Cumprod {
    fn name(&self) -> &'static str {
        "cumprod"
    }

    fn attributes(&self) -> Attributes {
        place_attribute(self.axis)
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        along(args, self.axis)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Along { what: Along::Cumprod, axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| {
            vjp.builder().apply(CumprodGradient { axis: self.axis }, &[vjp.arg(0), vjp.grad()])
        });
    }
}

impl Primitive for CumprodGradient {
    fn name(&self) -> &'static str {
        "cumprod_gradient"
    }

    fn attributes(&self) -> Attributes {
        place_attribute(self.axis)
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let ty = same_shape::<2>(args)?;
        along(&[&ty], self.axis)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Along { what: Along::CumprodGradient, axis: self.axis })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        // Second derivatives are not promised.
        vjp.nothing();
    }
}
