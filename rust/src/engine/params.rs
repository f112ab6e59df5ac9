//! The parameters of a model, and gradients in the same layout: one aligned block, canonical order.

use super::memory::Memory;
use crate::error::Result;
use crate::graph::{Init, Param};
use crate::kernels::Element;
use crate::random;
use std::ops::Range;

/// What a parameter is called, its shape, how it starts, and where it lies.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its initial value.
    pub init: Init,
    /// What no element exceeds in magnitude after an update.
    pub bound: Option<f64>,
    /// First element in the block.
    pub offset: usize,
    /// How many elements.
    pub len: usize,
    /// Whether it is a statistic of the data, which is measured and not trained.
    pub measured: bool,
}

/// Names, shapes and places of all parameters.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// One for each parameter.
    pub slots: Vec<Slot>,
    /// Elements of the block.
    pub len: usize,
}

impl Slot {
    /// Where its elements lie in the block.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len
    }
}

impl Layout {
    /// Where the elements of each parameter lie.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        self.slots.iter().map(Slot::range).collect()
    }

    /// Adds a parameter under this name; returns its index.
    pub fn push(&mut self, name: String, param: &Param) -> usize {
        let Param { shape, init, bound, .. } = param.clone();
        // Multiples of 16 elements keep every parameter on its own cache lines.
        const STEP: usize = 16;
        let len = shape.iter().product();
        self.slots.push(Slot { name, shape, init, bound, offset: self.len, len, measured: false });
        self.len += usize::div_ceil(len, STEP) * STEP;
        self.slots.len() - 1
    }
}

/// Values of all parameters.
#[derive(Debug)]
pub struct Params<E> {
    /// The block.
    pub memory: Memory<E>,
    /// Grows with every change of what is trained.
    pub version: u64,
    /// Grows with every change of what is measured.
    pub measurements: u64,
}

/// A function of numbers uniform in [0, 1), rounded once.
fn mapped<E: Element>(key: random::Key, values: &mut [E], function: impl Fn(f64) -> f64) {
    let mut draws = vec![0.0; values.len()];
    random::fill_uniform(key, 0.0, 1.0, &mut draws);
    for (value, u) in values.iter_mut().zip(draws) {
        *value = E::from_f64(function(u));
    }
}

impl<E: Element> Params<E> {
    /// Initial values, drawn from the seed and each parameter's name.
    pub fn new(layout: &Layout, seed: u64) -> Result<Self> {
        let mut memory = Memory::new(layout.len.max(1))?;
        for slot in &layout.slots {
            let values = &mut memory.slice_mut()[slot.range()];
            let key = random::key(seed, &slot.name, 0);
            match slot.init {
                Init::Uniform(bound) => random::fill_uniform(key, -bound, bound, values),
                Init::Normal(deviation) => random::fill_normal(key, 0.0, deviation, values),
                Init::Between { from, to } => random::fill_uniform(key, from, to, values),
                Init::LogUniform { to } => mapped(key, values, |u| Element::ln(to * (1.0 - u))),
                Init::Ring { from, to } => mapped(key, values, |u| {
                    // Area is uniform in r²; u = 0 would be the centre, where ln(-ln r) is infinite.
                    let square = u.max(f64::EPSILON) * (to * to - from * from) + from * from;
                    Element::ln(-0.5 * Element::ln(square))
                }),
                Init::Constant(number) => values.fill(E::from_f64(number)),
                Init::Shifted { bound, from, to, plus } => {
                    random::fill_uniform(key, -bound, bound, values);
                    for value in &mut values[from..to] {
                        *value = E::from_f64(value.to_f64() + plus);
                    }
                }
            }
        }
        Ok(Self { memory, version: 0, measurements: 0 })
    }

    /// The state of all values: another after every change.
    pub fn stamp(&self) -> (u64, u64) {
        (self.version, self.measurements)
    }
}
