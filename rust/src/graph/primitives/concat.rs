//! Vectors side by side.

use super::*;
use crate::graph::RowOp;

/// Vectors one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Concat;

impl Primitive for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        if let Some(bad) = args.iter().find(|ty| ty.kind != Kind::Float || ty.shape.len() != 1) {
            return Err(format!("expected vectors, got {bad}"));
        }
        if args.is_empty() {
            return Err("expected at least one argument, got none".into());
        }
        Ok(Type::float(&[args.iter().map(|ty| ty.shape[0]).sum()]))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Concat)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let mut from = 0;
        for i in 0..vjp.count() {
            let to = from + vjp.ty(i).shape[0];
            vjp.give_with(i, |vjp| vjp.grad().slice(from, to));
            from = to;
        }
    }
}
