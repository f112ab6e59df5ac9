//! The largest of a row's elements: a scalar. NaN wins.

use super::*;
use crate::graph::RowOp;

/// The largest element; its gradient is shared equally among ties.
#[derive(Clone, Copy, Debug)]
pub struct Max;

impl Primitive for Max {
    fn name(&self) -> &'static str {
        "max"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        same_shape::<1>(args)?;
        Ok(Type::float(&[]))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Max)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| {
            let largest = vjp.out().broadcast(&vjp.ty(0).shape);
            let ties = vjp.builder().apply(Equal, &[vjp.arg(0), largest]);
            ties * (vjp.grad() / ties.sum())
        });
    }
}
