//! Random values from the counter-based generator: the masks of dropout and zoneout, noise.

use super::*;
use crate::graph::{Distribution, RowOp};

/// The numbers among the attributes, by name.
type Numbers<'a> = &'a dyn Fn(&str) -> Option<f64>;

/// For each element a draw from a distribution. It depends on the seed of the call, the node's path, the row, the absolute
/// step (not if `per_sequence`) and the element, so the backward pass and a recomputation draw the same. Outside of
/// training the expectation takes its place. No gradient flows.
#[derive(Clone, Debug)]
pub struct Draw {
    /// From what.
    pub distribution: Distribution,
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// One draw for all steps of a sequence.
    pub per_sequence: bool,
    /// Distinguishes draws within a cell.
    pub label: String,
}

impl Draw {
    pub(super) fn from_attributes(
        attributes: &Attributes,
        distribution: fn(Numbers<'_>) -> Option<Distribution>,
    ) -> Result<Self, String> {
        let number = |key: &str| attributes.get(key).and_then(Json::as_f64).filter(|n| n.is_finite());
        let made = (|| {
            Some(Self {
                distribution: distribution(&number)?,
                shape: sizes(attributes, "shape").ok()?,
                per_sequence: attributes.get("per_sequence")?.as_bool()?,
                label: attributes.get("label")?.as_str()?.to_string(),
            })
        })();
        made.ok_or_else(|| {
            format!("expected a shape, per_sequence, a label and the distribution's numbers, got {attributes:?}")
        })
    }
}

pub(super) fn bernoulli(number: Numbers<'_>) -> Option<Distribution> {
    let (probability, value) = (number("probability")?, number("value")?);
    (0.0..=1.0).contains(&probability).then_some(Distribution::Bernoulli { probability, value })
}

pub(super) fn uniform(number: Numbers<'_>) -> Option<Distribution> {
    let (from, to) = (number("from")?, number("to")?);
    (from < to).then_some(Distribution::Uniform { from, to })
}

pub(super) fn normal(number: Numbers<'_>) -> Option<Distribution> {
    let (mean, deviation) = (number("mean")?, number("deviation")?);
    (deviation > 0.0).then_some(Distribution::Normal { mean, deviation })
}

impl Primitive for Draw {
    fn name(&self) -> &'static str {
        match self.distribution {
            Distribution::Bernoulli { .. } => "bernoulli",
            Distribution::Uniform { .. } => "uniform",
            Distribution::Normal { .. } => "normal",
        }
    }

    fn attributes(&self) -> Attributes {
        let numbers = match self.distribution {
            Distribution::Bernoulli { probability, value } => [("probability", probability), ("value", value)],
            Distribution::Uniform { from, to } => [("from", from), ("to", to)],
            Distribution::Normal { mean, deviation } => [("mean", mean), ("deviation", deviation)],
        };
        let others = [
            ("shape", json!(self.shape)),
            ("per_sequence", json!(self.per_sequence)),
            ("label", json!(self.label)),
        ];
        let numbers = numbers.map(|(key, number)| (key, json!(number)));
        Map::from_iter(numbers.into_iter().chain(others).map(|(key, value)| (key.to_string(), value)))
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        arguments::<0>(args)?;
        Ok(Type::float(&self.shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Draw {
            distribution: self.distribution,
            per_sequence: self.per_sequence,
            name: self.label.clone(),
        })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.nothing();
    }
}
