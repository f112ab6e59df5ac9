//! Batch normalisation in training (Ioffe and Szegedy 2015), with the statistics of all valid steps of all rows (Laurent et
//! al. 2016), and the running statistics that it has out of training.
//!
//! Sums are made in float64 in one order, step by step and row by row: results do not depend on threads or SIMD path.

use super::Model;
use super::input::Shape;
use super::run::Tape;
use crate::engine::{Batch, Params};
use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::layers::{BatchNorm, Block};
use std::ops::Range;

/// Mean and variance of each feature over the valid steps of a batch.
pub(super) struct Moments {
    count: usize,
    mean: Vec<f64>,
    /// The biased one.
    variance: Vec<f64>,
}

/// Calls `each` with the elements of every valid step.
fn for_steps(batch: &Batch, shape: &Shape, width: usize, mut each: impl FnMut(Range<usize>)) {
    let (step, stride) = shape.strides(width);
    let mut lengths = vec![0; shape.rows];
    batch.order.iter().zip(&batch.lengths).for_each(|(&id, &length)| lengths[id] = length);
    for t in 0..shape.steps {
        for row in (0..shape.rows).filter(|&row| t < lengths[row]) {
            let at = t * step + row * stride;
            each(at..at + width);
        }
    }
}

impl Moments {
    fn of<E: Element>(x: &[E], batch: &Batch, shape: &Shape, width: usize) -> Result<Self> {
        let (mut count, mut mean, mut variance) = (0, vec![0.0; width], vec![0.0; width]);
        for_steps(batch, shape, width, |step| {
            count += 1;
            mean.iter_mut().zip(&x[step]).for_each(|(sum, x)| *sum += x.to_f64());
        });
        if count < 2 {
            return Err(Error::value("valid steps for batch normalisation in training", "at least 2", count));
        }
        mean.iter_mut().for_each(|sum| *sum /= count as f64);
        for_steps(batch, shape, width, |step| {
            for ((sum, x), mean) in variance.iter_mut().zip(&x[step]).zip(&mean) {
                let difference = x.to_f64() - mean;
                *sum += difference * difference;
            }
        });
        variance.iter_mut().for_each(|sum| *sum /= count as f64);
        Ok(Self { count, mean, variance })
    }

    /// 1 / √(variance + ε).
    fn scales(&self, eps: f64) -> Vec<f64> {
        self.variance.iter().map(|variance| 1.0 / (variance + eps).sqrt()).collect()
    }
}

impl<E: Element> Model<E> {
    /// Where a layer's parameter `which` lies: weight, bias, running mean, running variance.
    fn norm_range(&self, norm: &BatchNorm<E>, which: usize) -> Range<usize> {
        self.chain.layout.slots[norm.stage.params[which]].range()
    }

    /// y = weight · (x − mean) / √(variance + ε) + bias at valid steps, with the statistics of the batch.
    pub(super) fn normalise(
        &self,
        norm: &BatchNorm<E>,
        params: &Params<E>,
        x: &[E],
        y: &mut [E],
        batch: &Batch,
        shape: &Shape,
    ) -> Result<Moments> {
        let [weight, bias] = [0, 1].map(|which| &params.memory.slice()[self.norm_range(norm, which)]);
        let width = weight.len();
        let moments = Moments::of(x, batch, shape, width)?;
        let scales = moments.scales(norm.eps);
        for_steps(batch, shape, width, |step| {
            let (x, y) = (&x[step.clone()], &mut y[step]);
            for k in 0..width {
                let normal = (x[k].to_f64() - moments.mean[k]) * scales[k];
                y[k] = E::from_f64(normal * weight[k].to_f64() + bias[k].to_f64());
            }
        });
        Ok(moments)
    }

    /// Into `gradients` those of weight and bias, and into `dx`, unless it is empty, that of x. With n the normalised x and
    /// N the number of steps: dbias = Σ dy, dweight = Σ dy n, dx = weight / √(variance + ε) · (dy − dbias / N − n dweight / N).
    #[allow(clippy::too_many_arguments, reason = "called once, with what a block knows")]
    pub(super) fn normalise_back(
        &self,
        norm: &BatchNorm<E>,
        params: &Params<E>,
        moments: &Moments,
        (x, dy): (&[E], &[E]),
        (dx, gradients): (&mut [E], &mut [E]),
        batch: &Batch,
        shape: &Shape,
    ) {
        let weight = &params.memory.slice()[self.norm_range(norm, 0)];
        let (width, scales, count) = (weight.len(), moments.scales(norm.eps), moments.count as f64);
        let normal = |x: E, k: usize| (x.to_f64() - moments.mean[k]) * scales[k];
        let (mut products, mut sums) = (vec![0.0; width], vec![0.0; width]);
        for_steps(batch, shape, width, |step| {
            let (x, dy) = (&x[step.clone()], &dy[step]);
            for k in 0..width {
                sums[k] += dy[k].to_f64();
                products[k] += dy[k].to_f64() * normal(x[k], k);
            }
        });
        for (which, sums) in [&products, &sums].into_iter().enumerate() {
            let gradient = &mut gradients[self.norm_range(norm, which)];
            gradient.iter_mut().zip(sums).for_each(|(gradient, &sum)| *gradient = E::from_f64(sum));
        }
        if !dx.is_empty() {
            for_steps(batch, shape, width, |step| {
                let (x, dy, dx) = (&x[step.clone()], &dy[step.clone()], &mut dx[step]);
                for k in 0..width {
                    let centred = dy[k].to_f64() - sums[k] / count - normal(x[k], k) * products[k] / count;
                    dx[k] = E::from_f64(weight[k].to_f64() * scales[k] * centred);
                }
            });
        }
    }

    /// Moves the running statistics towards those of the batch of a run in training: r ← r + momentum · (s − r), where
    /// the variance s is the unbiased one.
    pub(super) fn measure(&self, tape: &Tape<E>) {
        if tape.blocks.iter().all(|kept| kept.moments.is_none()) {
            return;
        }
        let mut params = self.params_mut();
        for (block, kept) in self.chain.blocks.iter().zip(&tape.blocks) {
            let (Block::BatchNorm(norm), Some(moments)) = (block, &kept.moments) else { continue };
            let unbiased = moments.count as f64 / (moments.count - 1) as f64;
            let variance: Vec<f64> = moments.variance.iter().map(|variance| variance * unbiased).collect();
            for (which, measured) in [(2, &moments.mean), (3, &variance)] {
                let running = &mut params.memory.slice_mut()[self.norm_range(norm, which)];
                for (running, measured) in running.iter_mut().zip(measured) {
                    let old = running.to_f64();
                    *running = E::from_f64(old + norm.momentum * (measured - old));
                }
            }
        }
        params.measurements += 1;
    }
}
