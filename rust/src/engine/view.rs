//! The caller's arrays: what goes into a pipeline and what comes out.

use super::frame::Bound;
use super::rows::{Batch, Rows};
use super::run::put_index;
use crate::kernels::Element;

/// An array (steps, rows, width) with any strides between steps and rows, read or written at valid steps only.
#[derive(Clone, Copy, Debug)]
pub struct View<E> {
    /// Element [0, 0, 0].
    pub data: Data<E>,
    /// Elements from step to step.
    pub step: usize,
    /// Elements from row to row.
    pub row: usize,
    /// Elements of a row at a step.
    pub width: usize,
    /// Whether each row is read and written from its last valid step to its first.
    pub flip: bool,
    /// Whether results are added to what is there.
    pub add: bool,
    /// Where rows are segments of longer ones.
    pub fold: Option<Fold>,
}

/// How rows are segments of longer rows: row `s · rows + b` begins at step `s · steps + start` of row b.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    /// Steps of a segment.
    pub steps: usize,
    /// The longer rows.
    pub rows: usize,
    /// Where in its segment a row begins.
    pub start: usize,
    /// Lengths of the longer rows.
    pub lengths: *const usize,
}

/// What an array holds.
#[derive(Clone, Copy, Debug)]
pub enum Data<E> {
    /// Numbers.
    Float(*mut E),
    /// Indices, checked against their limit.
    Index(*const u32),
}

// SAFETY: a View is used within one call, by workers that touch disjoint rows; the caller keeps the array alive.
unsafe impl<E> Send for View<E> {}
// SAFETY: as above.
unsafe impl<E> Sync for View<E> {}

impl<E: Element> View<E> {
    /// A contiguous array (steps, rows, width) of numbers.
    pub fn new(data: *mut E, rows: usize, width: usize) -> Self {
        Self { data: Data::Float(data), step: rows * width, row: width, width, flip: false, add: false, fold: None }
    }

    /// A contiguous array (steps, rows) of indices.
    pub fn indices(data: *const u32, rows: usize) -> Self {
        Self { data: Data::Index(data), step: rows, row: 1, width: 1, flip: false, add: false, fold: None }
    }

    /// # Safety
    /// The lengths of a fold are there.
    unsafe fn index(&self, rows: &Rows, ids: &[usize], t: usize, r: usize) -> usize {
        let (id, step) = match self.fold {
            None => (ids[r], t),
            Some(fold) => (ids[r] % fold.rows, ids[r] / fold.rows * fold.steps + fold.start + t),
        };
        let length = match self.fold {
            _ if !self.flip => return step * self.step + id * self.row,
            None => rows.length(r),
            // SAFETY: the caller's promise.
            Some(fold) => unsafe { *fold.lengths.add(id) },
        };
        (length - 1 - step) * self.step + id * self.row
    }

    /// Copies the steps from..to of a worker's rows into packed rows.
    ///
    /// # Safety
    /// The array has these steps and rows; `to_rows` is bound to memory for them.
    pub unsafe fn gather(&self, batch: &Batch, rows: &Rows, from: usize, to: usize, target: &Bound<E>) {
        let ids = &batch.order[rows.range.clone()];
        for t in from..to.min(rows.steps) {
            let mut out = target.at(rows, t, 0, true);
            for r in 0..rows.active(t) {
                // SAFETY: the caller's promise.
                unsafe {
                    let at = self.index(rows, ids, t, r);
                    match self.data {
                        Data::Float(data) => std::ptr::copy_nonoverlapping(data.add(at), out, self.width),
                        Data::Index(data) => put_index(out, *data.add(at)),
                    }
                }
                out = out.wrapping_add(target.stride);
            }
        }
    }

    /// Copies packed rows of the steps from..to into the array.
    ///
    /// # Safety
    /// As [`View::gather`]; no other worker writes these rows.
    pub unsafe fn scatter(&self, batch: &Batch, rows: &Rows, from: usize, to: usize, source: &Bound<E>) {
        let Data::Float(data) = self.data else { return };
        let ids = &batch.order[rows.range.clone()];
        for t in from..to.min(rows.steps) {
            let mut row = source.at(rows, t, 0, true).cast_const();
            for r in 0..rows.active(t) {
                // SAFETY: the caller's promise.
                unsafe {
                    let at = self.index(rows, ids, t, r);
                    let out = data.add(at);
                    if self.add {
                        for k in 0..self.width {
                            *out.add(k) = *out.add(k) + *row.add(k);
                        }
                    } else {
                        std::ptr::copy_nonoverlapping(row, out, self.width);
                    }
                }
                row = row.wrapping_add(source.stride);
            }
        }
    }
}
