//! init + Σ x · Wᵀ: what the planner makes of a sum of products. One chain of FMAs an output.

use super::*;

/// init + Σ x · Wᵀ (or x · W where transposed), one chain of FMAs an output: the initial value first, then the terms
/// in order, each with its elements ascending. Arguments: init (if any), then x and W of each term.
#[derive(Clone, Debug)]
pub struct Affine {
    /// Whether the first argument is the initial value.
    pub init: bool,
    /// For each term, whether W is used as stored.
    pub transposed: Vec<bool>,
}

impl Affine {
    pub(super) fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let init = attributes.get("init").and_then(Json::as_bool);
        let transposed = attributes.get("transposed").and_then(Json::as_array);
        let transposed = transposed.and_then(|a| a.iter().map(Json::as_bool).collect());
        match (init, transposed) {
            (Some(init), Some(transposed)) => Ok(Self { init, transposed }),
            _ => Err(format!("expected attributes 'init' and 'transposed', got {attributes:?}")),
        }
    }
}

impl Primitive for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("init".to_string(), json!(self.init)), ("transposed".to_string(), json!(self.transposed))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        let first = usize::from(self.init);
        if args.len() != first + 2 * self.transposed.len() || self.transposed.is_empty() {
            return Err(format!("expected {} arguments, got {}", first + 2 * self.transposed.len(), args.len()));
        }
        let mut types = Vec::new();
        for (pair, &transposed) in args[first..].chunks_exact(2).zip(&self.transposed) {
            types.push(product(pair[0], pair[1], transposed)?);
        }
        let init = self.init.then(|| args[0].clone());
        if let Some(bad) = types.iter().chain(&init).find(|&ty| *ty != types[0]) {
            return Err(format!("expected every summand to have shape {}, got {bad}", types[0]));
        }
        Ok(types[0].clone())
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Affine { init: self.init, transposed: self.transposed.clone() }
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        let first = usize::from(self.init);
        if self.init {
            vjp.give(0, vjp.grad());
        }
        for (term, &transposed) in self.transposed.iter().enumerate() {
            let (x, weight) = (first + 2 * term, first + 2 * term + 1);
            if transposed {
                vjp.give_with(x, |vjp| vjp.builder().apply(Linear, &[vjp.grad(), vjp.arg(weight)]));
                vjp.give_parameter(weight, AccumulateOuter, |vjp| vec![vjp.arg(x), vjp.grad()]);
            } else {
                vjp.give_with(x, |vjp| vjp.builder().apply(LinearTransposed, &[vjp.grad(), vjp.arg(weight)]));
                vjp.give_parameter(weight, AccumulateOuter, |vjp| vec![vjp.grad(), vjp.arg(x)]);
            }
        }
    }
}
