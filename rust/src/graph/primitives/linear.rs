//! x · Wᵀ: W has a row for each output.

use super::*;

/// x · Wᵀ: W has a row for each output.
#[derive(Clone, Copy, Debug)]
pub struct Linear;

impl Primitive for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let [x, weight] = arguments::<2>(args)?;
        product(x, weight, false)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Affine { init: false, transposed: vec![false] }
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| vjp.builder().apply(LinearTransposed, &[vjp.grad(), vjp.arg(1)]));
        vjp.give_parameter(1, AccumulateOuter, |vjp| vec![vjp.grad(), vjp.arg(0)]);
    }
}
