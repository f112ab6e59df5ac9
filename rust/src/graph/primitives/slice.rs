//! Elements (of a matrix: rows) `from..to`.

use super::*;
use crate::graph::RowOp;

/// Elements (of a matrix: rows) `from..to`.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// First element.
    pub from: usize,
    /// One past the last.
    pub to: usize,
}

impl Primitive for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("from".to_string(), json!(self.from)), ("to".to_string(), json!(self.to))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [ty] = arguments::<1>(args)?;
        let length = ty.shape.first().copied().unwrap_or(0);
        if ty.kind != Kind::Float || self.from >= self.to || self.to > length || ty.shape.len() > 2 {
            return Err(format!("expected a range within a vector or matrix, got {}..{} of {ty}", self.from, self.to));
        }
        let mut shape = ty.shape.clone();
        shape[0] = self.to - self.from;
        Ok(Type::float(&shape))
    }

    fn evaluation(&self) -> Evaluation {
        // Of a varying vector; of a parameter it is a view.
        Evaluation::Row(RowOp::Columns { source: self.from, target: 0, count: self.to - self.from })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let total = vjp.ty(0).shape[0];
        vjp.give_with(0, |vjp| vjp.builder().apply(Pad { before: self.from, total }, &[vjp.grad()]));
    }
}
