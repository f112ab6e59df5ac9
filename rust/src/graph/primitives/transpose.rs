//! The transpose of a matrix.

use super::*;
use crate::graph::RowOp;

/// aᵀ.
#[derive(Clone, Copy, Debug)]
pub struct Transpose;

impl Primitive for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let (rows, columns) = matrix(arguments::<1>(args)?[0])?;
        Ok(Type::float(&[columns, rows]))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Transpose)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.grad().transpose());
    }
}
