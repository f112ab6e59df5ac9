//! 1 where a > 0, else 0, with a surrogate in place of its derivative: the spike of a spiking unit.

use super::*;

/// 1 where a > 0, else 0. Its gradient is that of a surrogate (Neftci, Mostafa and Zenke 2019).
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What takes the derivative's place.
    pub surrogate: Surrogate,
    /// How steep the surrogate is.
    pub slope: f64,
}

/// The derivative that a step is given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surrogate {
    /// 1 / (1 + slope |a|)² (Zenke and Ganguli 2018).
    FastSigmoid,
    /// max(0, 1 − slope |a|) (Bellec et al. 2018).
    Triangle,
    /// slope σ(slope a) (1 − σ(slope a)).
    Sigmoid,
}

impl Step {
    pub(super) fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let surrogate = attributes.get("surrogate").and_then(|s| Surrogate::deserialize(s).ok());
        let slope = attributes.get("slope").and_then(Json::as_f64).filter(|s| s.is_finite() && *s > 0.0);
        match (surrogate, slope) {
            (Some(surrogate), Some(slope)) => Ok(Self { surrogate, slope }),
            _ => Err(format!(
                "expected a surrogate of fast_sigmoid, triangle and sigmoid, and a positive slope, got {attributes:?}"
            )),
        }
    }
}

impl Primitive for Step {
    fn name(&self) -> &'static str {
        "step"
    }

    fn attributes(&self) -> Attributes {
        Map::from_iter([("surrogate".to_string(), json!(self.surrogate)), ("slope".to_string(), json!(self.slope))])
    }

    fn infer(&self, args: &[&Type]) -> Result<Type, String> {
        same_shape::<1>(args)
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation::Elementwise(Elementwise::Step)
    }

    fn vjp(&self, vjp: &Vjp<'_>) {
        vjp.give_with(0, |vjp| {
            let a = vjp.arg(0);
            let derivative = match self.surrogate {
                Surrogate::FastSigmoid => {
                    let d = 1.0 + a.abs() * self.slope;
                    1.0 / (d * d)
                }
                Surrogate::Triangle => (1.0 - a.abs() * self.slope).relu(),
                Surrogate::Sigmoid => {
                    let s = (a * self.slope).sigmoid();
                    (s - s * s) * self.slope
                }
            };
            vjp.grad() * derivative
        });
    }
}
