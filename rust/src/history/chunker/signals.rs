//! What passes between the stream and both nets: observations in, predictions out, and the gradients of their errors.

use super::{Account, ChunkerAutomatizer, Settings};
use crate::error::{Error, Result};
use crate::kernels::Element;

/// A symbol and its targets, NaN where there are none.
pub(super) type Observation<'a, E> = (usize, &'a [E]);

/// eˣ / Σ eˣ of the symbols' part, sigmoid of the targets', the rest as it is.
fn activation<E: Element>(y: &[E], symbols: usize, targets: usize) -> Vec<E> {
    let mut p = y.to_vec();
    let greatest = y[..symbols].iter().fold(y[0], |a, &b| if b > a { b } else { a });
    let mut sum = E::default();
    for value in &mut p[..symbols] {
        *value = (*value - greatest).exp();
        sum = sum + *value;
    }
    p[..symbols].iter_mut().for_each(|value| *value = *value / sum);
    p[symbols..symbols + targets].iter_mut().for_each(|value| *value = value.sigmoid());
    p
}

/// The index of the greatest, the first of several.
pub(super) fn most_probable<E: Element>(p: &[E]) -> usize {
    (1..p.len()).fold(0, |best, index| if p[index] > p[best] { index } else { best })
}

/// ½ Σ v².
fn half_square<E: Element>(values: impl Iterator<Item = E>) -> f64 {
    values.fold(0.0, |sum, value| sum + value.to_f64() * value.to_f64() / 2.0)
}

impl<E: Element> ChunkerAutomatizer<E> {
    /// Symbols and targets by step, checked.
    pub(super) fn observations<'a>(
        &self,
        symbols: &[i64],
        targets: Option<&'a [E]>,
    ) -> Result<Vec<Observation<'a, E>>> {
        let width = self.settings.targets;
        match targets {
            Some(targets) if targets.len() != symbols.len() * width => {
                let expected = format!("{} steps x {width}", symbols.len());
                return Err(Error::shape("targets", expected, format!("{} elements", targets.len())));
            }
            Some(targets) => {
                if let Some(bad) = targets.iter().find(|d| d.to_f64() < 0.0 || d.to_f64() > 1.0) {
                    return Err(Error::value("targets", "numbers from 0 to 1, or NaN where there is none", bad));
                }
            }
            None => {}
        }
        let symbol = |(t, &symbol): (usize, &i64)| match usize::try_from(symbol) {
            Ok(index) if index < self.settings.symbols => {
                Ok((index, targets.map_or(&[][..], |targets| &targets[t * width..(t + 1) * width])))
            }
            _ => Err(Error::value("x", format!("symbols 0 to {}", self.settings.symbols - 1), symbol)),
        };
        symbols.iter().enumerate().map(symbol).collect()
    }

    /// The probabilities of the symbols and of the targets in an output of the automatizer.
    pub(super) fn predictions(&self, y: &[E]) -> Vec<E> {
        self.activated(&y[..self.settings.symbols + self.settings.targets])
    }

    pub(super) fn activated(&self, y: &[E]) -> Vec<E> {
        activation(y, self.settings.symbols, self.settings.targets)
    }

    /// Whether an observation was not predicted by `p`.
    pub(super) fn fails(&self, p: &[E], (symbol, targets): Observation<'_, E>) -> bool {
        let symbols = self.settings.symbols;
        // Of a target between 0 and 1, that which agrees with it in the mean.
        let agreement = |(d, p): (&E, &E)| {
            let (d, p) = (d.to_f64(), p.to_f64());
            if d.is_nan() { 1.0 } else { d * p + (1.0 - d) * (1.0 - p) }
        };
        let agreed = targets.iter().zip(&p[symbols..]).map(agreement).fold(1.0, |a, b| if b < a { b } else { a });
        match self.settings.threshold {
            Some(threshold) => p[symbol].to_f64() < threshold || agreed < threshold,
            None => most_probable(&p[..symbols]) != symbol || agreed < 0.5,
        }
    }

    /// x(t) ∘ d(t): one unit a symbol, then the targets, 0 where there are none.
    pub(super) fn input(&self, (symbol, targets): Observation<'_, E>) -> Vec<E> {
        let Settings { symbols, targets: width, .. } = self.settings;
        let mut x = vec![E::default(); symbols + width];
        x[symbol] = E::from_f64(1.0);
        for (x, &d) in x[symbols..].iter_mut().zip(targets) {
            *x = if d.to_f64().is_nan() { E::default() } else { d };
        }
        x
    }

    /// What the chunker is told of an observation.
    pub(super) fn event(&self, observation: Observation<'_, E>, elapsed: u64, context: &[E]) -> Vec<E> {
        let mut x = self.input(observation);
        match self.settings.account {
            Account::Time => x.push(E::from_f64(Element::ln(elapsed as f64) / 10.0)),
            Account::State => x.extend_from_slice(context),
            Account::None => {}
        }
        x
    }

    /// The gradient of −ln p(symbol) and of the targets' cross-entropies: p − x ∘ d, 0 where there is no target.
    fn prediction_error(&self, p: &[E], (symbol, targets): Observation<'_, E>) -> Vec<E> {
        let Settings { symbols, targets: width, .. } = self.settings;
        let mut dy = p[..symbols + width].to_vec();
        dy[symbol] = dy[symbol] - E::from_f64(1.0);
        for (k, dy) in dy[symbols..].iter_mut().enumerate() {
            *dy = match targets.get(k) {
                Some(&d) if !d.to_f64().is_nan() => *dy - d,
                _ => E::default(),
            };
        }
        dy
    }

    /// The gradient of the automatizer's error, and the part of the imitation in it, before its weight.
    pub(super) fn automatizer_error(
        &self,
        p: &[E],
        y: &[E],
        observation: Observation<'_, E>,
        goal: &[E],
    ) -> (Vec<E>, f64) {
        let mut dy = self.prediction_error(p, observation);
        let balance = E::from_f64(self.settings.balance);
        let difference = || y[dy_len(&self.settings)..].iter().zip(goal).map(|(&a, &b)| a - b);
        let imitation = half_square(difference());
        dy.extend(difference().map(|value| balance * value));
        (dy, imitation)
    }

    /// The gradient of the chunker's error in predicting its next input, and −ln p of the symbol.
    pub(super) fn chunker_error(&self, y: &[E], observation: Observation<'_, E>, x: &[E]) -> (Vec<E>, f64) {
        let p = self.activated(y);
        let mut dy = self.prediction_error(&p, observation);
        let known = dy.len();
        dy.extend(p[known..].iter().zip(&x[known..]).map(|(&p, &x)| p - x));
        (dy, -p[observation.0].ln().to_f64())
    }
}

/// Where the imitation begins in an output of the automatizer.
fn dy_len(settings: &Settings) -> usize {
    settings.symbols + settings.targets
}
