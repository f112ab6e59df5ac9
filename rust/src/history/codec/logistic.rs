//! ln(p / (1 − p)) and its inverse as tables, so that the arithmetic of a bit is IEEE + − × alone.

use crate::kernels::{Block, BlockOp, Element, Elementwise, Kernels, Operand, isa};
use std::sync::OnceLock;

/// Bits of the probabilities that counters keep.
pub(super) const PROBABILITY_BITS: u32 = 22;
/// The greatest magnitude of a logit that tables know.
pub(super) const LIMIT: f32 = 12.0;
/// Places of the table of `squash` from one integer to the next.
const FINE: f32 = 64.0;
const SQUASH: usize = (2.0 * LIMIT * FINE) as usize;
const STRETCH_BITS: u32 = 12;

/// Runs an elementwise operation over an array; its length is a multiple of [`Element::PAD`].
pub(super) fn apply<E: Element>(kernels: &Kernels<E>, op: Elementwise, values: &mut [E]) {
    assert_eq!(values.len() % E::PAD, 0, "whole vectors");
    let operands = [Operand { ptr: values.as_mut_ptr(), stride: values.len() }];
    let ops = [BlockOp { op, dst: 0, a: 0, b: 0, c: 0 }];
    let scratch = std::ptr::null_mut();
    let block = Block { rows: 1, width: values.len(), ops: &ops, operands: &operands, scratch, temporaries: 0 };
    // SAFETY: the operand is an exclusive slice of whole vectors; the one operation reads and writes it in place, and
    // there are no temporaries.
    unsafe { (kernels.block)(&block) };
}

/// The tables.
pub(super) struct Logistic {
    squash: Vec<f32>,
    stretch: Vec<f32>,
}

impl Logistic {
    /// The one set of tables of the process.
    pub(super) fn get() -> &'static Self {
        static TABLES: OnceLock<Logistic> = OnceLock::new();
        TABLES.get_or_init(|| {
            let kernels = f64::kernels(isa()).or_else(|| f64::kernels(crate::kernels::Isa::Scalar));
            let kernels = kernels.expect("every processor has the scalar path");
            let padded = |n: usize| n.next_multiple_of(f64::PAD);
            let mut squash: Vec<f64> = (0..padded(SQUASH + 2)).map(|i| i as f64 / f64::from(FINE) - 12.0).collect();
            apply(kernels, Elementwise::Sigmoid, &mut squash);
            let count = 1 << STRETCH_BITS;
            let odds = |i: usize| (i as f64 + 0.5) / (count as f64 - i as f64 - 0.5);
            let mut stretch: Vec<f64> = (0..count).map(odds).collect();
            apply(kernels, Elementwise::Log, &mut stretch);
            let single = |table: Vec<f64>| table.into_iter().map(|x| x as f32).collect();
            Self { squash: single(squash), stretch: single(stretch) }
        })
    }

    /// 1 / (1 + e⁻ˣ) of |x| ≤ [`LIMIT`], between the table's places on a line.
    #[inline(always)]
    pub(super) fn squash(&self, x: f32) -> f32 {
        let place = (x.clamp(-LIMIT, LIMIT) + LIMIT) * FINE;
        // NaN becomes place 0: nothing here can be read out of bounds.
        let index = (place as usize).min(SQUASH);
        let (low, high) = (self.squash[index], self.squash[index + 1]);
        low + (high - low) * (place - index as f32)
    }

    /// ln(p / (1 − p)) of a probability of [`PROBABILITY_BITS`] bits, to 12 bits of it.
    #[inline(always)]
    pub(super) fn stretch(&self, p: u32) -> f32 {
        self.stretch[(p >> (PROBABILITY_BITS - STRETCH_BITS)) as usize & ((1 << STRETCH_BITS) - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretch_and_squash_undo_each_other() {
        let tables = Logistic::get();
        for p in (0..1u32 << PROBABILITY_BITS).step_by(997) {
            let exact = ((p >> 10) as f32 + 0.5) / 4096.0;
            let p = tables.squash(tables.stretch(p));
            assert!((p - exact).abs() < 1e-4 * exact.min(1.0 - exact) + 1e-6, "{p} {exact}");
        }
        assert_eq!(tables.squash(0.0), 0.5);
        assert!(tables.squash(-1e9) > 0.0 && tables.squash(1e9) < 1.0 && tables.squash(f32::NAN).is_nan());
    }
}
