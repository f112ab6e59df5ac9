//! x · W: the gradient of x · Wᵀ with respect to x.

use super::*;

/// x · W: the gradient of x · Wᵀ with respect to x.
#[derive(Clone, Copy, Debug)]
pub struct LinearTransposed;

impl Primitive for LinearTransposed {
    fn name(&self) -> &'static str {
        "linear_transposed"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [x, weight] = arguments::<2>(args)?;
        product(x, weight, true)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Affine { init: false, transposed: vec![true] }
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.builder().apply(Linear, &[vjp.grad(), vjp.arg(1)]));
        vjp.give_parameter(1, AccumulateOuter, |vjp| vec![vjp.arg(0), vjp.grad()]);
    }
}
