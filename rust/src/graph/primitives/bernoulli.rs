//! Draws of a Bernoulli variable from the counter-based generator: the masks of dropout and zoneout.

use super::*;
use crate::graph::RowOp;

/// For each element, `value` with probability `probability`, else 0. The draw depends on the seed of the call, the
/// node's path, the row, the absolute step (not if `per_sequence`) and the element, so the backward pass and a
/// recomputation draw the same.
#[derive(Clone, Debug)]
pub struct Bernoulli {
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// Probability of drawing `value`.
    pub probability: f64,
    /// What is drawn.
    pub value: f64,
    /// One draw for all steps of a sequence.
    pub per_sequence: bool,
    /// Distinguishes draws within a cell.
    pub label: String,
}

impl Bernoulli {
    pub(super) fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let number = |key: &str| attributes.get(key).and_then(Json::as_f64);
        let made = (|| {
            Some(Self {
                shape: sizes(attributes, "shape").ok()?,
                probability: number("probability")?,
                value: number("value")?,
                per_sequence: attributes.get("per_sequence")?.as_bool()?,
                label: attributes.get("label")?.as_str()?.to_string(),
            })
        })();
        made.filter(|b| (0.0..=1.0).contains(&b.probability) && b.value.is_finite())
            .ok_or_else(|| format!("expected shape, probability, value, per_sequence and label, got {attributes:?}"))
    }

    /// Its expectation, which takes its place outside of training.
    pub fn expectation(&self) -> f64 {
        let mean = self.probability * self.value;
        // Dropout scales by 1/keep, so that the mean is 1: exactly, not to rounding.
        if (mean - 1.0).abs() < 1e-12 { 1.0 } else { mean }
    }
}

impl Primitive for Bernoulli {
    fn name(&self) -> &'static str {
        "bernoulli"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([
            ("shape".to_string(), json!(self.shape)),
            ("probability".to_string(), json!(self.probability)),
            ("value".to_string(), json!(self.value)),
            ("per_sequence".to_string(), json!(self.per_sequence)),
            ("label".to_string(), json!(self.label)),
        ])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        arguments::<0>(args)?;
        Ok(Type::float(&self.shape))
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Row(RowOp::Bernoulli {
            probability: self.probability,
            value: self.value,
            per_sequence: self.per_sequence,
            name: self.label.clone(),
        })
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.nothing();
    }
}
