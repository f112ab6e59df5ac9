//! Training: what turns gradients into new parameters (clipping, schedules, optimizers).
//!
//! Parameters and gradients of a model are two flat buffers of one layout. What lies between the parameters is padding,
//! which nothing here reads or writes. Everything is made of IEEE + − × ÷ √ in a fixed order, so that a training run has
//! the same bits on every machine.

use std::ops::Range;

pub mod clip;
pub mod optimizer;
mod rules;
pub mod schedule;

pub use optimizer::Optimizer;
pub use schedule::Schedule;

/// One parameter and its place in the flat buffers of parameters and gradients.
#[derive(Clone, Copy, Debug)]
pub struct Parameter<'a> {
    /// The name, unique in its model.
    pub name: &'a str,
    /// The dimensions; row-major.
    pub shape: &'a [usize],
    /// Where the parameter begins, in elements.
    pub offset: usize,
    /// Whether it keeps its value.
    pub frozen: bool,
    /// What no element exceeds in magnitude after an update.
    pub bound: Option<f64>,
}

impl Parameter<'_> {
    /// The elements of the buffers that are this parameter's (beyond any buffer where the numbers overflow).
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let elements = self.shape.iter().fold(1, |n: usize, &d| n.saturating_mul(d));
        self.offset..self.offset.saturating_add(elements)
    }
}
