//! A row of a matrix of parameters: an embedding.

use super::*;
use crate::graph::RowOp;

/// Row `index` of a parameter. Arguments: parameter (rows, columns), index.
#[derive(Clone, Copy, Debug)]
pub struct Gather;

impl Primitive for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [table, index] = arguments::<2>(args)?;
        if table.shape.len() != 2 || table.kind != Kind::Float || index.kind != Kind::Int || !index.shape.is_empty() {
            return Err(format!("expected a matrix and an index, got {table} and {index}"));
        }
        Ok(Type::float(&[table.shape[1]]))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Gather)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let rows = vjp.ty(0).shape[0];
        vjp.give_parameter(0, AccumulateRows { rows }, |vjp| vec![vjp.arg(1), vjp.grad()]);
    }
}
