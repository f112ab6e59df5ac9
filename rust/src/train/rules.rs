//! The update rules of PyTorch's optimizers, on one parameter.
//!
//! Notation: θ parameter, g gradient, η learning rate, λ weight_decay. An update is IEEE + − × ÷ √ in the element type,
//! in the order written, never contracted: it has the same bits on every machine. A moment below 2⁻¹⁰⁰ in magnitude
//! (float64: 2⁻⁹⁰⁰) is kept as +0, so that denormals do not slow the loops.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernels::Element;

/// An update rule with its settings. The JSON form has the variant's name in lower case under "optimizer".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "optimizer", rename_all = "lowercase")]
pub(super) enum Rule {
    Sgd(Sgd),
    RmsProp(RmsProp),
    Adagrad(Adagrad),
    Adam(Adam),
    AdamW(Adam),
}

/// g ← g + λθ; with momentum μ: b ← μb + g and g ← b, or with Nesterov's g ← g + μb; θ ← θ − ηg
/// (Sutskever, Martens, Dahl and Hinton, ICML 2013, as PyTorch arranges it).
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Sgd {
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
}

/// g ← g + λθ; s ← αs + (1 − α)g²; d = g / (√s + ε); with momentum μ: b ← μb + d and d ← b; θ ← θ − ηd
/// (Tieleman and Hinton, *Neural networks for machine learning*, lecture 6.5, 2012; ε outside the root).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RmsProp {
    alpha: f64,
    eps: f64,
    momentum: f64,
    weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0 }
    }
}

/// g ← g + λθ; s ← s + g²; θ ← θ − ηg / (√s + ε) (Duchi, Hazan and Singer, JMLR 2011).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Adagrad {
    eps: f64,
    weight_decay: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { eps: 1e-10, weight_decay: 0.0 }
    }
}

/// m ← m + (1 − β₁)(g − m); v ← β₂v + (1 − β₂)g²; θ ← θ − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
/// (Kingma and Ba, ICLR 2015), where before that Adam does g ← g + λθ, AdamW θ ← (1 − ηλ)θ (Loshchilov and Hutter,
/// ICLR 2019). t counts the updates of the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Adam {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl Rule {
    /// The names of the moments that the rule keeps, as in PyTorch.
    pub(super) fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd(rule) if rule.momentum == 0.0 => &[],
            Self::Sgd(_) => &["momentum_buffer"],
            Self::RmsProp(rule) if rule.momentum == 0.0 => &["square_avg"],
            Self::RmsProp(_) => &["square_avg", "momentum_buffer"],
            Self::Adagrad(_) => &["sum"],
            Self::Adam(_) | Self::AdamW(_) => &["exp_avg", "exp_avg_sq"],
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let not_negative = |name: &str, value: f64| match value {
            0.0..f64::INFINITY => Ok(()),
            _ => Err(Error::value(name, "a finite number, at least 0", value)),
        };
        let fraction = |name: &str, value: f64| match value {
            0.0..1.0 => Ok(()),
            _ => Err(Error::value(name, "a number at least 0 and below 1", value)),
        };
        match *self {
            Self::Sgd(Sgd { momentum, nesterov, weight_decay }) => {
                fraction("momentum", momentum)?;
                if nesterov && momentum == 0.0 {
                    return Err(Error::value("momentum with nesterov", "a number above 0", momentum));
                }
                not_negative("weight_decay", weight_decay)
            }
            Self::RmsProp(RmsProp { alpha, eps, momentum, weight_decay }) => {
                fraction("alpha", alpha)?;
                not_negative("eps", eps)?;
                fraction("momentum", momentum)?;
                not_negative("weight_decay", weight_decay)
            }
            Self::Adagrad(Adagrad { eps, weight_decay }) => {
                not_negative("eps", eps)?;
                not_negative("weight_decay", weight_decay)
            }
            Self::Adam(Adam { beta1, beta2, eps, weight_decay })
            | Self::AdamW(Adam { beta1, beta2, eps, weight_decay }) => {
                fraction("beta1", beta1)?;
                fraction("beta2", beta2)?;
                not_negative("eps", eps)?;
                not_negative("weight_decay", weight_decay)
            }
        }
    }

    /// One update of one parameter. `moments` are those that [`Rule::moments`] names, empty beyond; `powers` are β₁ᵗ
    /// and β₂ᵗ of the parameter's updates so far.
    pub(super) fn apply<E: Element>(
        &self,
        lr: f64,
        powers: &mut [f64; 2],
        p: &mut [E],
        g: &[E],
        moments: [&mut [E]; 2],
    ) {
        match self {
            Self::Sgd(rule) => rule.apply(lr, p, g, moments),
            Self::RmsProp(rule) => rule.apply(lr, p, g, moments),
            Self::Adagrad(rule) => rule.apply(lr, p, g, moments),
            Self::Adam(rule) => rule.apply(lr, powers, p, g, moments, (rule.weight_decay, 1.0)),
            Self::AdamW(rule) => rule.apply(lr, powers, p, g, moments, (0.0, 1.0 - lr * rule.weight_decay)),
        }
    }
}

/// +0 for a moment below [`Element::TINY`] in magnitude; NaN stays.
#[inline(always)]
fn flush<E: Element>(moment: E) -> E {
    if (moment < E::TINY) & (moment > -E::TINY) { E::default() } else { moment }
}

impl Sgd {
    fn apply<E: Element>(&self, lr: f64, p: &mut [E], g: &[E], [buffer, _]: [&mut [E]; 2]) {
        let [lr, momentum, decay] = [lr, self.momentum, self.weight_decay].map(E::from_f64);
        if buffer.is_empty() {
            for (p, &g) in p.iter_mut().zip(g) {
                *p = *p - lr * (g + decay * *p);
            }
            return;
        }
        for ((p, &g), b) in p.iter_mut().zip(g).zip(buffer) {
            let g = g + decay * *p;
            *b = flush(momentum * *b + g);
            *p = *p - lr * if self.nesterov { g + momentum * *b } else { *b };
        }
    }
}

impl RmsProp {
    fn apply<E: Element>(&self, lr: f64, p: &mut [E], g: &[E], [square, buffer]: [&mut [E]; 2]) {
        let [lr, alpha, rest] = [lr, self.alpha, 1.0 - self.alpha].map(E::from_f64);
        let [eps, momentum, decay] = [self.eps, self.momentum, self.weight_decay].map(E::from_f64);
        let direction = |p: E, g: E, s: &mut E| {
            let g = g + decay * p;
            *s = flush(alpha * *s + rest * g * g);
            g / (s.sqrt() + eps)
        };
        if buffer.is_empty() {
            for ((p, &g), s) in p.iter_mut().zip(g).zip(square) {
                *p = *p - lr * direction(*p, g, s);
            }
            return;
        }
        for (((p, &g), s), b) in p.iter_mut().zip(g).zip(square).zip(buffer) {
            *b = flush(momentum * *b + direction(*p, g, s));
            *p = *p - lr * *b;
        }
    }
}

impl Adagrad {
    fn apply<E: Element>(&self, lr: f64, p: &mut [E], g: &[E], [sum, _]: [&mut [E]; 2]) {
        let [lr, eps, decay] = [lr, self.eps, self.weight_decay].map(E::from_f64);
        for ((p, &g), s) in p.iter_mut().zip(g).zip(sum) {
            let g = g + decay * *p;
            *s = flush(*s + g * g);
            *p = *p - lr * g / (s.sqrt() + eps);
        }
    }
}

impl Adam {
    /// `decays`: λ of g ← g + λθ, and the factor of θ.
    fn apply<E: Element>(
        &self,
        lr: f64,
        powers: &mut [f64; 2],
        p: &mut [E],
        g: &[E],
        [mean, square]: [&mut [E]; 2],
        decays: (f64, f64),
    ) {
        // Running products: the standard library's powi differs between platforms.
        *powers = [powers[0] * self.beta1, powers[1] * self.beta2];
        let [step, root] = [lr / (1.0 - powers[0]), 1.0 / (1.0 - powers[1]).sqrt()].map(E::from_f64);
        let [rest1, beta2, rest2, eps] = [1.0 - self.beta1, self.beta2, 1.0 - self.beta2, self.eps].map(E::from_f64);
        let [decay, keep] = [decays.0, decays.1].map(E::from_f64);
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(mean).zip(square) {
            let g = g + decay * *p;
            *m = flush(*m + rest1 * (g - *m));
            *v = flush(beta2 * *v + rest2 * g * g);
            *p = keep * *p - step * *m / (v.sqrt() * root + eps);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every rule, with and without its options.
    pub(in crate::train) const RULES: [&str; 10] = [
        r#"{"optimizer":"sgd","momentum":0.0,"nesterov":false,"weight_decay":0.1}"#,
        r#"{"optimizer":"sgd","momentum":0.9,"nesterov":false,"weight_decay":0.0}"#,
        r#"{"optimizer":"sgd","momentum":0.9,"nesterov":true,"weight_decay":0.1}"#,
        r#"{"optimizer":"rmsprop","alpha":0.99,"eps":1e-8,"momentum":0.0,"weight_decay":0.0}"#,
        r#"{"optimizer":"rmsprop","alpha":0.5,"eps":0.001,"momentum":0.5,"weight_decay":0.1}"#,
        r#"{"optimizer":"adagrad","eps":1e-10,"weight_decay":0.1}"#,
        r#"{"optimizer":"adam","beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0}"#,
        r#"{"optimizer":"adam","beta1":0.5,"beta2":0.75,"eps":0.25,"weight_decay":0.5}"#,
        r#"{"optimizer":"adamw","beta1":0.5,"beta2":0.75,"eps":0.25,"weight_decay":0.5}"#,
        r#"{"optimizer":"adam","beta1":0.0,"beta2":0.0,"eps":0.0,"weight_decay":0.0}"#,
    ];

    /// One parameter that starts at `p`, updated with each of `gradients` at learning rate 0.1, and its moments.
    fn updated<E: Element>(json: &str, p: E, gradients: &[E]) -> (E, [E; 2]) {
        let rule: Rule = serde_json::from_str(json).unwrap();
        rule.check().unwrap();
        let (mut p, mut powers, mut moments) = ([p], [1.0; 2], [[E::default()]; 2]);
        for &g in gradients {
            let [first, second] = &mut moments;
            let count = rule.moments().len();
            let slices = [&mut first[..count.min(1)], &mut second[..count.saturating_sub(1)]];
            rule.apply(0.1, &mut powers, &mut p, &[g], slices);
        }
        (p[0], [moments[0][0], moments[1][0]])
    }

    fn run(json: &str, gradients: &[f64]) -> f64 {
        updated(json, 1.0, gradients).0
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-15, "{a} {b}");
    }

    #[test]
    fn sgd_follows_its_equations() {
        close(run(RULES[0], &[2.0]), 1.0 - 0.1 * (2.0 + 0.1));
        // b: 2, then 0.9·2 − 1 = 0.8
        close(run(RULES[1], &[2.0, -1.0]), 1.0 - 0.1 * 2.0 - 0.1 * 0.8);
        // g = 2.1, b = 2.1, step 2.1 + 0.9·2.1; then θ = 0.601, g = −1 + 0.0601, b = 1.89 + g, step g + 0.9 b
        let p = 1.0 - 0.1 * (2.1 + 1.89);
        let g = -1.0 + 0.1 * p;
        close(run(RULES[2], &[2.0, -1.0]), p - 0.1 * (g + 0.9 * (1.89 + g)));
    }

    #[test]
    fn rmsprop_follows_its_equations() {
        // s = 0.01·4; then 0.99·0.04 + 0.01·1
        close(run(RULES[3], &[2.0]), 1.0 - 0.1 * 2.0 / (0.2 + 1e-8));
        close(run(RULES[3], &[2.0, -1.0]), 1.0 - 0.2 / (0.2 + 1e-8) + 0.1 / (0.0496f64.sqrt() + 1e-8));
        // g = 2.1, s = 0.5·4.41, b = g / (√s + 0.001)
        let b = 2.1 / (2.205f64.sqrt() + 0.001);
        let p = 1.0 - 0.1 * b;
        let g = -1.0 + 0.1 * p;
        let s = 0.5 * 2.205 + 0.5 * g * g;
        close(run(RULES[4], &[2.0, -1.0]), p - 0.1 * (0.5 * b + g / (s.sqrt() + 0.001)));
    }

    #[test]
    fn adagrad_follows_its_equations() {
        let p = 1.0 - 0.1 * 2.1 / (2.1 + 1e-10);
        let g = -1.0 + 0.1 * p;
        close(run(RULES[5], &[2.0, -1.0]), p - 0.1 * g / ((4.41 + g * g).sqrt() + 1e-10));
    }

    #[test]
    fn adam_follows_its_equations() {
        // At the first update m / (1 − β₁) = g and √(v / (1 − β₂)) = |g|.
        close(run(RULES[6], &[2.0]), 1.0 - 0.1 * 2.0 / (2.0 + 1e-8));
        close(run(RULES[9], &[2.0, -4.0, 8.0]), 1.0 - 0.1 + 0.1 - 0.1);
        // m: 1.25 with g = 2.5, v: 1.5625; then m = (1.25 + g) / 2, v = 0.75·1.5625 + 0.25 g²; 1 − β₁² = 0.75, 1 − β₂² = 0.4375
        let p = 1.0 - 0.1 * 2.5 / (2.5 + 0.25);
        let g = -1.0 + 0.5 * p;
        let (m, v) = ((1.25 + g) / 2.0, 0.75 * 1.5625 + 0.25 * g * g);
        close(run(RULES[7], &[2.0, -1.0]), p - 0.1 * (m / 0.75) / ((v / 0.4375).sqrt() + 0.25));
    }

    #[test]
    fn adamw_follows_its_equations() {
        let p = 0.95 - 0.1 * 2.0 / (2.0 + 0.25);
        // m: 1, then (1 − 1) / 2 = 0
        close(run(RULES[8], &[2.0, -1.0]), 0.95 * p);
        close(run(RULES[8], &[2.0]), p);
    }

    #[test]
    fn tiny_moments_are_zero() {
        let gradients = |n| [&[2.0 * f32::TINY][..], &vec![0.0; n]].concat();
        // 2·0.9⁶ > 1 > 2·0.9⁷
        assert!(updated(RULES[1], 1.0, &gradients(6)).1[0] > f32::TINY);
        assert_eq!(updated(RULES[1], 1.0, &gradients(7)).1[0].to_bits(), 0);
        assert_eq!(flush(f32::TINY), f32::TINY);
        assert_eq!(flush(-0.5 * f64::TINY).to_bits(), 0);
        assert!(flush(f32::NAN).is_nan());
    }

    #[test]
    fn a_wide_update_has_the_bits_of_single_ones() {
        let values = |start: i32| (0..41).map(|i| ((i + start) * 7 % 11) as f32 / 8.0 - 0.4).collect::<Vec<_>>();
        let gradients: [Vec<f32>; 3] = [values(1), values(2), values(3)];
        for json in RULES {
            let rule: Rule = serde_json::from_str(json).unwrap();
            let (mut p, mut powers) = (values(0), [1.0; 2]);
            let mut moments = [vec![0.0; 41], vec![0.0; 41]];
            for g in &gradients {
                let mut slices = moments.iter_mut().take(rule.moments().len()).map(|m| &mut m[..]);
                let slices = [slices.next().unwrap_or_default(), slices.next().unwrap_or_default()];
                rule.apply(0.1, &mut powers, &mut p, g, slices);
            }
            for (i, (p, start)) in p.iter().zip(values(0)).enumerate() {
                let single = updated(json, start, &gradients.each_ref().map(|g| g[i])).0;
                assert_eq!(p.to_bits(), single.to_bits(), "{json} {i}");
            }
        }
    }
}
