//! The solution of a system of linear equations of each sample.

use super::*;
use crate::graph::RowOp;

/// x with A x = b (or Aᵀ x = b): Gaussian elimination with partial pivoting, ties to the lower row. A singular A gives
/// numbers that are not finite. Arguments: A (n, n), b (n).
#[derive(Clone, Copy, Debug)]
pub struct Solve {
    /// Whether A is transposed first.
    pub transposed: bool,
}

impl Primitive for Solve {
    fn name(&self) -> &'static str {
        "solve"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("transposed".to_string(), json!(self.transposed))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [a, b] = arguments::<2>(args)?;
        let (rows, columns) = matrix(a)?;
        if rows != columns || b.kind != Kind::Float || b.shape != [rows] {
            return Err(format!("expected a square matrix and a vector of its extent, got {a} and {b}"));
        }
        Ok(Type::float(&b.shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Solve { transposed: self.transposed })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        // db = A⁻ᵀ g; dA = −db xᵀ (of Aᵀ: −x dbᵀ).
        let db = || vjp.builder().apply(Self { transposed: !self.transposed }, &[vjp.arg(0), vjp.grad()]);
        vjp.give_with(1, |_| db());
        vjp.give_with(0, |vjp| match self.transposed {
            false => -db().outer(vjp.out()),
            true => -vjp.out().outer(db()),
        });
    }
}
