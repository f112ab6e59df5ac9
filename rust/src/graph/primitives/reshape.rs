//! The same elements in another shape.

use super::*;
use crate::graph::RowOp;

/// The same elements, row by row, in another shape; of a parameter it is a view.
#[derive(Clone, Debug)]
pub struct Reshape {
    /// The shape of the result.
    pub shape: Vec<usize>,
}

impl Primitive for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("shape".to_string(), json!(self.shape))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [ty] = arguments::<1>(args)?;
        let elements = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if ty.kind != Kind::Float || elements != Some(ty.width()) || self.shape.len() > 3 {
            return Err(format!("expected {} elements for shape {}, got {ty}", ty.width(), Type::float(&self.shape)));
        }
        Ok(Type::float(&self.shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Copy)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.grad().reshape(&vjp.ty(0).shape));
    }
}
