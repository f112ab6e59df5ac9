//! Bounds on gradients: by their global 2-norm, or value by value.
//!
//! A norm that is not finite (a gradient is NaN or infinite, or the sum of squares overflows) is returned and the
//! gradients stay as they are: no factor would mend them, and the caller sees in the norm that there is something to
//! mend. (PyTorch multiplies by the factor, and all gradients become NaN or zero.)

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernels::Element;

/// Sums that are kept side by side, so that the loop vectorises; a part of the definition of the result.
const PARTIALS: usize = 16;

/// ‖g‖₂ = √Σ g² over all elements of all `ranges` of `gradients`, in float64.
///
/// Within a range element k belongs to partial sum k mod 16; the partial sums are joined in a fixed tree and the
/// ranges in order.
#[must_use]
pub fn norm<E: Element>(gradients: &[E], ranges: &[Range<usize>]) -> f64 {
    ranges.iter().fold(0.0, |total, range| total + sum_of_squares(&gradients[range.clone()])).sqrt()
}

fn sum_of_squares<E: Element>(values: &[E]) -> f64 {
    let mut partials = [0.0; PARTIALS];
    let (chunks, rest) = values.as_chunks::<PARTIALS>();
    let mut add = |chunk: &[E]| {
        for (partial, value) in partials.iter_mut().zip(chunk) {
            let value = value.to_f64();
            *partial += value * value;
        }
    };
    chunks.iter().for_each(|chunk| add(chunk));
    add(rest);
    let mut width = PARTIALS;
    while width > 1 {
        width /= 2;
        for k in 0..width {
            partials[k] += partials[k + width];
        }
    }
    partials[0]
}

/// Scales the gradients so that their global 2-norm is at most `limit`; returns the norm before.
///
/// As PyTorch's `clip_grad_norm_`: g ← g · min(1, limit / (‖g‖ + 10⁻⁶)). [`Error::Value`] unless `limit` > 0; it may be
/// infinite, which only measures.
pub fn clip_norm<E: Element>(gradients: &mut [E], ranges: &[Range<usize>], limit: f64) -> Result<f64> {
    check(limit)?;
    let norm = norm(gradients, ranges);
    let factor = limit / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        let factor = E::from_f64(factor);
        for range in ranges {
            gradients[range.clone()].iter_mut().for_each(|g| *g = *g * factor);
        }
    }
    Ok(norm)
}

/// Clips every gradient to [−`limit`, `limit`]; NaN stays. [`Error::Value`] unless `limit` > 0.
pub fn clip_value<E: Element>(gradients: &mut [E], ranges: &[Range<usize>], limit: f64) -> Result<()> {
    check(limit)?;
    let high = E::from_f64(limit);
    let low = -high;
    for range in ranges {
        for g in &mut gradients[range.clone()] {
            let upper = if *g > high { high } else { *g };
            *g = if upper < low { low } else { upper };
        }
    }
    Ok(())
}

fn check(limit: f64) -> Result<()> {
    if limit > 0.0 { Ok(()) } else { Err(Error::value("limit of clipping", "a number above 0", limit)) }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "ranges of one parameter are meant")]
mod tests {
    use super::*;

    #[test]
    fn the_norm_is_over_the_ranges_alone() {
        let gradients = [3.0f32, f32::NAN, 4.0, 12.0];
        assert_eq!(norm(&gradients, &[0..1, 2..4]), 13.0);
        assert_eq!(norm(&gradients, &[]), 0.0);
        assert!(norm(&gradients, &[0..2]).is_nan());
        // 1² + … + 100² = 338350, exact whatever the order
        let many: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(norm(&many, &[0..37, 37..100]), 338_350f64.sqrt());
        // float32 whose squares only float64 can hold
        assert_eq!(norm(&[3e30f32, 4e30], &[0..2]), norm(&[f64::from(3e30f32), f64::from(4e30f32)], &[0..2]));
    }

    #[test]
    fn long_gradients_are_scaled_and_short_ones_kept() {
        let mut gradients = [3.0f64, 7.0, 4.0];
        assert_eq!(clip_norm(&mut gradients, &[0..1, 2..3], 1.0).unwrap(), 5.0);
        let factor = 1.0 / (5.0 + 1e-6);
        assert_eq!(gradients, [3.0 * factor, 7.0, 4.0 * factor]);
        let before = gradients;
        assert!(clip_norm(&mut gradients, &[0..1, 2..3], 1.1).unwrap() < 1.0);
        assert_eq!(gradients, before);
        assert!(clip_norm(&mut gradients, &[0..3], f64::INFINITY).unwrap() > 7.0);
        assert_eq!(gradients, before);
    }

    #[test]
    fn a_norm_that_is_not_finite_leaves_the_gradients() {
        let mut gradients = [1.0f32, f32::INFINITY];
        assert_eq!(clip_norm(&mut gradients, &[0..2], 0.5).unwrap(), f64::INFINITY);
        assert_eq!(gradients, [1.0, f32::INFINITY]);
        let mut gradients = [1.0f32, f32::NAN];
        assert!(clip_norm(&mut gradients, &[0..2], 0.5).unwrap().is_nan());
        assert_eq!(gradients[0], 1.0);
    }

    #[test]
    fn values_are_clipped() {
        let mut gradients = [-3.0f32, -0.5, 0.25, f32::INFINITY, f32::NAN, 9.0];
        clip_value(&mut gradients, &[0..5], 0.5).unwrap();
        assert_eq!(gradients[..4], [-0.5, -0.5, 0.25, 0.5]);
        assert!(gradients[4].is_nan());
        assert_eq!(gradients[5], 9.0);
    }

    #[test]
    fn limits_are_positive() {
        for limit in [0.0, -1.0, f64::NAN] {
            assert!(matches!(clip_norm(&mut [1.0f32], &[0..1], limit), Err(Error::Value(_))));
            assert!(matches!(clip_value(&mut [1.0f32], &[0..1], limit), Err(Error::Value(_))));
        }
    }
}
