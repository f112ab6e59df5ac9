//! The operands of [`Accumulate`] as its tiles read them: contiguous along the rows, in scratch memory.

use core::ptr::{copy_nonoverlapping, null};

use pulp::{Simd, WithSimd};

use super::accumulate::Accumulate;
use super::constants::Constants;
use super::gemm::TALLEST;
use super::simd::{V, prefetch};
use super::stretch::{ROWS, Run, Stretch};

/// Tiles of the totals (each of [`TALLEST`] rows) and panels (each of two vectors) that share copied operands.
pub(super) const TILES: usize = 48;
pub(super) const PANELS: usize = 16;
/// Elements between copied tiles, and between copied panels, lest they meet in the same sets of the cache.
pub(super) const GAP: usize = 16;
/// How many rows ahead of the copying memory is asked for.
const AHEAD: usize = 8;
/// Elements that are copied for a row of a tile: whole vectors are quicker than [`TALLEST`] of them.
const WHOLE: usize = 8;

/// Rows of the total of a left operand, [`TALLEST`] or, at its end, fewer.
#[derive(Clone, Copy, Default)]
pub(super) struct Rows {
    pub(super) left: usize,
    pub(super) first: usize,
    pub(super) count: usize,
}

/// Copied operands of a stretch, for these tiles and the panels from a column on: in `a` the columns of each tile, in `b`
/// those of each panel, contiguous along the rows. `parts` holds the sums of windows that are not at their end.
pub(super) struct Copied<'a, E> {
    pub(super) accumulate: &'a Accumulate<'a, E>,
    pub(super) stretch: &'a Stretch<'a, E>,
    pub(super) tiles: &'a [Rows],
    pub(super) a: *mut E,
    pub(super) b: *mut E,
    pub(super) parts: *mut E,
    pub(super) column: usize,
}

impl<E> Clone for Copied<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E> Copy for Copied<'_, E> {}

impl<E: Constants> Copied<'_, E> {
    /// The tile's copied operand.
    #[inline(always)]
    pub(super) fn tile(&self, tile: usize) -> *mut E {
        self.a.wrapping_add(tile * (ROWS * TALLEST + GAP))
    }

    /// The panel's copied operand.
    #[inline(always)]
    pub(super) fn panel(&self, panel: usize, width: usize) -> *mut E {
        self.b.wrapping_add(panel * (ROWS * width + GAP))
    }

    /// The tile's columns in row `row` of a segment; null where they are ones. A wrong row costs nothing until it is read.
    #[inline(always)]
    fn source(&self, tile: &Rows, segment: usize, row: usize) -> *const E {
        let left = &self.accumulate.lefts[tile.left];
        left.a.get(segment).map_or(null(), |a| a.wrapping_offset(row as isize * left.a_stride).wrapping_add(tile.first))
    }
}

pub(super) struct CopyOperands<'a, E>(pub(super) Copied<'a, E>);

impl<E: Constants> WithSimd for CopyOperands<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let copied = self.0;
        let mut done = 0;
        let runs = copied.stretch.runs();
        for (number, run) in runs.iter().enumerate() {
            let next = runs.get(number + 1).unwrap_or(run);
            // SAFETY: the caller of `accumulate` promised m and v elements in each row; the scratch memory holds ROWS
            // rows of every tile and panel.
            unsafe {
                for (index, tile) in copied.tiles.iter().enumerate() {
                    copy_tile(copied, tile, run, next, copied.tile(index).add(done * TALLEST));
                }
                copy_panels(s, copied, run, next, done);
            }
            done += run.rows;
        }
    }
}

/// # Safety
/// The run's rows are readable, and as many of the tile writable from `to` on, [`WHOLE`] less [`TALLEST`] elements beyond
/// them.
#[inline(always)]
unsafe fn copy_tile<E: Constants>(copied: Copied<'_, E>, tile: &Rows, run: &Run<E>, next: &Run<E>, to: *mut E) {
    let left = &copied.accumulate.lefts[tile.left];
    let from = copied.source(tile, run.segment, run.row);
    let later = copied.source(tile, next.segment, next.row);
    // SAFETY: the caller's promise; a whole copy stays within the row.
    unsafe {
        if from.is_null() {
            (0..run.rows).for_each(|r| (0..tile.count).for_each(|k| *to.add(r * TALLEST + k) = E::from_f64(1.0)));
        } else if tile.first + WHOLE <= left.m {
            for r in 0..run.rows {
                prefetch(run.ahead(r, from, later, left.a_stride));
                // What is too much lies where the next row, or the gap, is.
                copy_nonoverlapping(from.offset(r as isize * left.a_stride), to.add(r * TALLEST), WHOLE);
            }
        } else {
            for r in 0..run.rows {
                let from = from.offset(r as isize * left.a_stride);
                (0..tile.count).for_each(|k| *to.add(r * TALLEST + k) = *from.add(k));
            }
        }
    }
}

/// # Safety
/// The run's rows are readable, and as many of all panels writable from row `done` on.
#[inline(always)]
unsafe fn copy_panels<S: Simd, E: Constants>(s: S, copied: Copied<'_, E>, run: &Run<E>, next: &Run<E>, done: usize) {
    let lanes = V::<S, E>::LANES;
    let v = (copied.accumulate.v - copied.column).min(PANELS * 2 * lanes);
    let begin =
        |run: &Run<E>| run.from.b.wrapping_offset(run.row as isize * run.from.b_stride).wrapping_add(copied.column);
    let (first, later) = (begin(run), begin(next));
    for r in 0..run.rows {
        let from = first.wrapping_offset(r as isize * run.from.b_stride);
        let ahead = run.ahead(r, first, later, run.from.b_stride);
        for k in (0..v).step_by(lanes) {
            let to = copied.panel(k / (2 * lanes), 2 * lanes).wrapping_add((done + r) * 2 * lanes + k % (2 * lanes));
            // SAFETY: the caller's promise; what lies beyond the operand's end is not read.
            unsafe {
                if k + lanes <= v {
                    prefetch(ahead.wrapping_add(k));
                    V::load(s, from.add(k)).store(to);
                } else {
                    V::splat(s, E::default()).store(to);
                    (k..v).for_each(|k| *to.add(k % lanes) = *from.add(k));
                }
            }
        }
    }
}

impl<E> Run<E> {
    /// Where the row lies that is copied [`AHEAD`] rows after row `r`, here or in the next run, given the first of both; a
    /// wrong address costs nothing.
    #[inline(always)]
    fn ahead(&self, r: usize, first: *const E, later: *const E, stride: isize) -> *const E {
        match (r + AHEAD).checked_sub(self.rows) {
            None => first.wrapping_offset((r + AHEAD) as isize * stride),
            Some(beyond) => later.wrapping_offset(beyond as isize * stride),
        }
    }
}
