//! Learning-rate schedules: a factor for the learning rate as a pure function of the number of updates made so far.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A valid schedule.
///
/// Made from JSON: `{"schedule":"constant"}`, `{"schedule":"step","every":1000,"gamma":0.5}` or
/// `{"schedule":"cosine","total":10000,"floor":0.1}`, each with an optional `"warmup":100`. After n updates since the
/// warm-up the factor is
///
/// - constant: 1
/// - step: gamma^⌊n / every⌋, with `every` ≥ 1 and `gamma` > 0
/// - cosine: floor + (1 − floor) · (1 + cos(π n / (total − warmup))) / 2, then floor (Loshchilov and Hutter, *SGDR*,
///   ICLR 2017, eq. 5); `total` counts the updates until there with those of the warm-up, 0 ≤ `floor` ≤ 1
///
/// and during a warm-up of w updates it is (update + 1) / w, so that the first update is not lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schedule", rename_all = "snake_case", deny_unknown_fields)]
enum Kind {
    Constant {
        #[serde(default)]
        warmup: u64,
    },
    Step {
        every: u64,
        gamma: f64,
        #[serde(default)]
        warmup: u64,
    },
    Cosine {
        total: u64,
        #[serde(default)]
        floor: f64,
        #[serde(default)]
        warmup: u64,
    },
}

impl Schedule {
    /// The schedule that JSON describes; [`Error::Value`] where it describes none.
    pub fn from_json(json: &str) -> Result<Self> {
        let kind = serde_json::from_str(json).map_err(|error| Error::value("schedule", "a schedule as JSON", error))?;
        match kind {
            Kind::Step { every: 0, .. } => Err(Error::value("every", "at least 1 update", 0)),
            Kind::Step { gamma, .. } if !(gamma > 0.0 && gamma.is_finite()) => {
                Err(Error::value("gamma", "a finite number above 0", gamma))
            }
            Kind::Cosine { total, warmup, .. } if total <= warmup => {
                Err(Error::value("total", format!("more updates than the {warmup} of warmup"), total))
            }
            Kind::Cosine { floor, .. } if !(0.0..=1.0).contains(&floor) => {
                Err(Error::value("floor", "a number from 0 to 1", floor))
            }
            valid => Ok(Self(valid)),
        }
    }

    /// The JSON form with every field.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("finite numbers always have a JSON form")
    }

    /// The factor for the update that follows `update` updates: what the learning rate is multiplied by.
    #[must_use]
    pub fn factor(&self, update: u64) -> f64 {
        let (Kind::Constant { warmup } | Kind::Step { warmup, .. } | Kind::Cosine { warmup, .. }) = self.0;
        if update < warmup {
            return (update + 1) as f64 / warmup as f64;
        }
        let n = update - warmup;
        match self.0 {
            Kind::Constant { .. } => 1.0,
            Kind::Step { every, gamma, .. } => power(gamma, n / every),
            Kind::Cosine { total, floor, .. } => {
                let length = total - warmup;
                let progress = n.min(length) as f64 / length as f64;
                floor + (1.0 - floor) * (0.5 * (1.0 + cos_pi(progress)))
            }
        }
    }
}

/// bⁿ by repeated squaring.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= base;
        }
        base *= base;
        exponent /= 2;
    }
    result
}

/// cos(πx) for x from 0 to 1, by Taylor's series about the nearest of 0, ½ and 1; absolute error below 10⁻¹⁵.
fn cos_pi(x: f64) -> f64 {
    /// 1 − z²/(a(a+1)) · (1 − z²/((a+2)(a+3)) · (…)), 9 terms: for |z| ≤ π/4 the next is below 10⁻¹⁷.
    fn series(z: f64, a: f64) -> f64 {
        (0..9).rev().fold(1.0, |rest, k| {
            let a = a + 2.0 * f64::from(k);
            1.0 - z * z / (a * (a + 1.0)) * rest
        })
    }
    let z = |x: f64| std::f64::consts::PI * x;
    if x < 0.25 {
        series(z(x), 1.0)
    } else if x <= 0.75 {
        z(0.5 - x) * series(z(0.5 - x), 2.0)
    } else {
        -series(z(1.0 - x), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the standard cosine is the reference")]
    fn the_cosine_is_exact_to_1e_15() {
        for i in 0..=100_000 {
            let x = f64::from(i) / 100_000.0;
            assert!((cos_pi(x) - (std::f64::consts::PI * x).cos()).abs() < 1e-15, "{x}");
        }
        assert_eq!([0.0, 0.5, 1.0].map(cos_pi), [1.0, 0.0, -1.0]);
        for (x, exact) in [(0.25, 0.5f64.sqrt()), (1.0 / 3.0, 0.5), (0.75, -(0.5f64.sqrt())), (2.0 / 3.0, -0.5)] {
            assert!((cos_pi(x) - exact).abs() < 1e-15);
        }
    }

    fn factors<const N: usize>(json: &str, updates: [u64; N]) -> [f64; N] {
        let schedule = Schedule::from_json(json).unwrap();
        updates.map(|update| schedule.factor(update))
    }

    #[test]
    fn factors_follow_their_formulas() {
        assert_eq!(factors("{\"schedule\":\"constant\"}", [0, 7, u64::MAX]), [1.0; 3]);
        assert_eq!(
            factors("{\"schedule\":\"constant\",\"warmup\":4}", [0, 1, 2, 3, 4, 5]),
            [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
        );
        assert_eq!(
            factors("{\"schedule\":\"step\",\"every\":3,\"gamma\":0.5}", [0, 2, 3, 5, 6, 30, u64::MAX]),
            [1.0, 1.0, 0.5, 0.5, 0.25, 1.0 / 1024.0, 0.0]
        );
        assert_eq!(
            factors("{\"schedule\":\"step\",\"every\":3,\"gamma\":0.5,\"warmup\":2}", [1, 2, 4, 5]),
            [1.0, 1.0, 1.0, 0.5]
        );
        let cosine = "{\"schedule\":\"cosine\",\"total\":12,\"floor\":0.2,\"warmup\":4}";
        let expected = [0.25, 0.75, 1.0, 0.2 + 0.4 * (1.0 + 0.5f64.sqrt()), 0.6, 0.2, 0.2];
        for (factor, expected) in factors(cosine, [0, 2, 4, 6, 8, 12, 99]).iter().zip(expected) {
            assert!((factor - expected).abs() < 1e-15, "{factor} {expected}");
        }
    }

    #[test]
    fn wrong_schedules_are_refused() {
        for json in [
            "",
            "{}",
            "{\"schedule\":\"linear\"}",
            "{\"schedule\":\"constant\",\"warmup\":-1}",
            "{\"schedule\":\"constant\",\"every\":1}",
            "{\"schedule\":\"step\",\"every\":0,\"gamma\":0.5}",
            "{\"schedule\":\"step\",\"every\":1,\"gamma\":0}",
            "{\"schedule\":\"step\",\"every\":1,\"gamma\":null}",
            "{\"schedule\":\"step\",\"gamma\":0.5}",
            "{\"schedule\":\"cosine\",\"total\":0}",
            "{\"schedule\":\"cosine\",\"total\":5,\"warmup\":5}",
            "{\"schedule\":\"cosine\",\"total\":5,\"floor\":1.5}",
        ] {
            assert!(matches!(Schedule::from_json(json), Err(Error::Value(_))), "{json}");
        }
    }

    #[test]
    fn json_survives() {
        for json in [
            "{\"schedule\":\"constant\",\"warmup\":0}",
            "{\"schedule\":\"step\",\"every\":3,\"gamma\":0.1,\"warmup\":2}",
            "{\"schedule\":\"cosine\",\"total\":12,\"floor\":0.2,\"warmup\":4}",
        ] {
            assert_eq!(Schedule::from_json(json).unwrap().to_json(), json);
        }
    }
}
