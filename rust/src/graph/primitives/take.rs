//! Elements at given places, and their gradient: values added at given places.

use super::*;
use crate::graph::RowOp;

/// Elements (of a matrix: rows) at the indices. Arguments: values (n, ...), indices (k).
#[derive(Clone, Copy, Debug)]
pub struct Take;

/// Zeros to which each value (of a matrix: row) is added at its index, in order. Arguments: values (k, ...), indices (k).
#[derive(Clone, Copy, Debug)]
pub struct ScatterAdd {
    /// Extent of the result's first axis.
    pub count: usize,
}

fn places(values: &Type, index: &Type) -> Result<usize, String> {
    match (&values.shape[..], &index.shape[..]) {
        ([_] | [_, _], [k]) if values.kind == Kind::Float && index.kind == Kind::Int => Ok(*k),
        _ => Err(format!("expected a vector or matrix and a vector of indices, got {values} and {index}")),
    }
}

impl Primitive for Take {
    fn name(&self) -> &'static str {
        "take"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [values, index] = arguments::<2>(args)?;
        let mut shape = values.shape.clone();
        let count = places(values, index)?;
        shape[0] = count;
        Ok(Type::float(&shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Take)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let count = vjp.ty(0).shape[0];
        vjp.give_with(0, |vjp| vjp.builder().apply(ScatterAdd { count }, &[vjp.grad(), vjp.arg(1)]));
    }
}

impl Primitive for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("count".to_string(), json!(self.count))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [values, index] = arguments::<2>(args)?;
        if places(values, index)? != values.shape[0] {
            return Err(format!("expected an index for each value, got {values} and {index}"));
        }
        let mut shape = values.shape.clone();
        shape[0] = self.count;
        Ok(Type::float(&shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::ScatterAdd)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.builder().apply(Take, &[vjp.grad(), vjp.arg(1)]));
    }
}
