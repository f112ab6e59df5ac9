//! The states that a call is given and gives back, a row for each row of the batch.

use super::memory::Memory;
use super::stage::Stage;
use crate::error::Result;
use crate::kernels::Element;
use crate::plan::padded;

/// The states of all stages of a pipeline.
#[derive(Debug)]
pub struct Carry<E> {
    /// All of them.
    pub memory: Memory<E>,
    /// For each stage and state: first element, stride, width.
    pub slots: Vec<Vec<(usize, usize, usize)>>,
}

impl<E: Element> Carry<E> {
    /// Zero states for `rows` rows.
    pub fn new(stages: &[&Stage<E>], rows: usize) -> Result<Self> {
        let mut at = 0;
        let mut slots = Vec::new();
        for stage in stages {
            let mut own = Vec::new();
            for state in &stage.graph.states {
                let width = stage.graph.width(state.node);
                let stride = padded(width, E::PAD);
                own.push((at, stride, width));
                at += rows * stride;
            }
            slots.push(own);
        }
        Ok(Self { memory: Memory::new(at.max(1))?, slots })
    }

    /// Row `row` of state `state` of stage `stage`.
    pub fn row(&self, stage: usize, state: usize, row: usize) -> *mut E {
        let (at, stride, _) = self.slots[stage][state];
        self.memory.ptr().wrapping_add(at + row * stride)
    }

    /// How many states there are.
    pub fn count(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }

    /// Sets state number `index` (over all stages) from contiguous rows (rows, width) in the caller's order.
    pub fn set(&mut self, index: usize, values: &[E], order: &[usize]) {
        let (at, stride, width) =
            self.slots.iter().flatten().copied().nth(index).expect("the caller counts the states");
        for (row, &id) in order.iter().enumerate() {
            self.memory.slice_mut()[at + row * stride..][..width].copy_from_slice(&values[id * width..][..width]);
        }
    }

    /// State number `index` as contiguous rows in the caller's order.
    pub fn get(&self, index: usize, order: &[usize]) -> Vec<E> {
        let (at, stride, width) =
            self.slots.iter().flatten().copied().nth(index).expect("the caller counts the states");
        let mut values = vec![E::default(); order.len() * width];
        for (row, &id) in order.iter().enumerate() {
            values[id * width..][..width].copy_from_slice(&self.memory.slice()[at + row * stride..][..width]);
        }
        values
    }
}
