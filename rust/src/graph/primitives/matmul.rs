//! The product of two matrices of each sample.

use super::*;
use crate::graph::RowOp;

/// A · B, either of them transposed first; an element is one chain of FMAs, k ascending.
#[derive(Clone, Copy, Debug)]
pub struct MatMul {
    /// Whether A and B are transposed first.
    pub transposed: [bool; 2],
}

impl MatMul {
    pub(super) fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let found = attributes.get("transposed");
        let flags: Option<Vec<bool>> =
            found.and_then(Json::as_array).and_then(|a| a.iter().map(Json::as_bool).collect());
        match flags.as_deref() {
            Some(&[a, b]) => Ok(Self { transposed: [a, b] }),
            _ => Err(format!("expected attribute 'transposed' to be two booleans, got {found:?}")),
        }
    }

    /// Rows, length of the reduction, columns.
    fn extents(self, a: &Type, b: &Type) -> Result<[usize; 3], String> {
        let turn = |(rows, columns): (usize, usize), turned: bool| if turned { (columns, rows) } else { (rows, columns) };
        let (m, k) = turn(matrix(a)?, self.transposed[0]);
        let (depth, n) = turn(matrix(b)?, self.transposed[1]);
        if depth != k {
            return Err(format!("expected matrices that meet in one extent, got {k} and {depth} (of {a} and {b})"));
        }
        Ok([m, k, n])
    }
}

impl Primitive for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("transposed".to_string(), json!(self.transposed))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [a, b] = arguments::<2>(args)?;
        let [m, _, n] = self.extents(a, b)?;
        Ok(Type::float(&[m, n]))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::MatMul { transposed: self.transposed })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let [ta, tb] = self.transposed;
        let product = |a, b, transposed| vjp.builder().apply(Self { transposed }, &[a, b]);
        vjp.give_with(0, |vjp| match ta {
            false => product(vjp.grad(), vjp.arg(1), [false, !tb]),
            true => product(vjp.arg(1), vjp.grad(), [tb, true]),
        });
        vjp.give_with(1, |vjp| match tb {
            false => product(vjp.arg(0), vjp.grad(), [!ta, false]),
            true => product(vjp.grad(), vjp.arg(0), [true, ta]),
        });
    }
}
