//! A vector placed among zeros: the gradient of a slice.

use super::*;
use crate::graph::RowOp;

/// The argument (a vector, or rows of a matrix) as elements `before..` of `total`, zero elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Pad {
    /// Zeros before it.
    pub before: usize,
    /// Extent of the result.
    pub total: usize,
}

impl Primitive for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("before".to_string(), json!(self.before)), ("total".to_string(), json!(self.total))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [ty] = arguments::<1>(args)?;
        let length = ty.shape.first().copied().unwrap_or(0);
        let fits = self.before.checked_add(length).is_some_and(|end| end <= self.total);
        if ty.kind != Kind::Float || ty.shape.is_empty() || ty.shape.len() > 2 || !fits {
            return Err(format!("expected a vector or matrix that fits {} from {}, got {ty}", self.total, self.before));
        }
        let mut shape = ty.shape.clone();
        shape[0] = self.total;
        Ok(Type::float(&shape))
    }

    fn evaluation(&self) -> Evaluation {
        // Of a varying vector; of a parameter's gradient it is a place in the parameter.
        Evaluation::Row(RowOp::Columns { source: 0, target: self.before, count: 0 })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let length = vjp.ty(0).shape[0];
        vjp.give_with(0, |vjp| vjp.grad().slice(self.before, self.before + length));
    }
}
