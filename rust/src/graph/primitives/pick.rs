//! One element of a row: the logit of a class.

use super::*;
use crate::graph::RowOp;

/// Element `index` of a vector. Arguments: vector, index.
#[derive(Clone, Copy, Debug)]
pub struct Pick;

impl Primitive for Pick {
    fn name(&self) -> &'static str {
        "pick"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [row, index] = arguments::<2>(args)?;
        if row.shape.len() != 1 || row.kind != Kind::Float || index.kind != Kind::Int || !index.shape.is_empty() {
            return Err(format!("expected a vector and an index, got {row} and {index}"));
        }
        Ok(Type::float(&[]))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Pick)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let width = vjp.ty(0).shape[0];
        vjp.give_with(0, |vjp| vjp.builder().apply(Place { width }, &[vjp.grad(), vjp.arg(1)]));
    }
}
