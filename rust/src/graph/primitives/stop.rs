//! a, through which no gradient flows.

use super::*;

/// a, through which no gradient flows.
#[derive(Clone, Copy, Debug)]
pub struct Stop;

impl Primitive for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        same_shape::<1>(args)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Elementwise(Elementwise::Copy)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.nothing();
    }
}
