//! The sum of a row's elements: a scalar. 16 partials (index mod 16) and one fixed tree, on every path.

use super::*;
use crate::graph::RowOp;

/// The sum of the elements.
#[derive(Clone, Copy, Debug)]
pub struct Sum;

impl Primitive for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        same_shape::<1>(args)?;
        Ok(Type::float(&[]))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Sum)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.grad().broadcast(&vjp.ty(0).shape));
    }
}
