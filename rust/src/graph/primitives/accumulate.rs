//! Sums over all steps and samples: the gradients of parameters. Second derivatives are not promised.

use super::*;
use crate::graph::Accumulation;

/// Σ a over steps and samples: the gradient of a parameter that is used element by element.
#[derive(Clone, Copy, Debug)]
pub struct AccumulateSum;

/// Σ aᵀ·b over steps and samples: the gradient of a weight.
#[derive(Clone, Copy, Debug)]
pub struct AccumulateOuter;

/// Σ over steps and samples of gradients placed at their rows: the gradient of an embedding. Arguments: index, gradient.
#[derive(Clone, Copy, Debug)]
pub struct AccumulateRows {
    /// Rows of the result.
    pub rows: usize,
}

impl Primitive for AccumulateSum {
    fn name(&self) -> &'static str {
        "accumulate_sum"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        same_shape::<1>(args)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Accumulate(Accumulation::Sum)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.nothing();
    }
}

impl Primitive for AccumulateOuter {
    fn name(&self) -> &'static str {
        "accumulate_outer"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        match arguments::<2>(args)? {
            [a, b] if a.shape.len() == 1 && b.shape.len() == 1 => Ok(Type::float(&[a.shape[0], b.shape[0]])),
            [a, b] => Err(format!("expected two vectors, got {a} and {b}")),
        }
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Accumulate(Accumulation::Outer)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.nothing();
    }
}

impl Primitive for AccumulateRows {
    fn name(&self) -> &'static str {
        "accumulate_rows"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("rows".to_string(), json!(self.rows))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        match arguments::<2>(args)? {
            [index, row] if index.kind == Kind::Int && row.shape.len() == 1 => Ok(Type::float(&[self.rows, row.shape[0]])),
            [index, row] => Err(format!("expected an index and a vector, got {index} and {row}")),
        }
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Accumulate(Accumulation::Rows)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.nothing();
    }
}
