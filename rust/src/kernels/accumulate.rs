//! Parameter gradients: sums of outer products over time and batch, as one chain of fused multiply-adds per window.

use core::ptr::{copy_nonoverlapping, null};

use pulp::{Simd, WithSimd};

use super::bfloat::RoundHere;
use super::constants::Constants;
use super::gemm::{TALLEST, wide};
use super::scratch::with_scratch;
use super::simd::{V, prefetch};
use super::stretch::{ROWS, Run, Stretch};
use super::tables::Path;

/// For each left operand `total[m][v] += part` for each window in order, where part is one chain from +0 over the rows of
/// the window's segments in order: `part = fma(a[r][m], b[r][v], part)`.
///
/// Left operands that meet the same right one go together, so that it is copied once.
///
/// To be valid: in every segment each `a` readable for `rows` rows of `m` elements and `b` for `rows` rows of `v`
/// elements; each `total` readable and writable for `m` rows of `v` elements rounded up to a multiple of PAD, and
/// disjoint from all others.
#[derive(Clone, Copy, Debug)]
pub struct Accumulate<'a, E> {
    /// Columns of every `total` and of every `b`.
    pub v: usize,
    /// Ranges of segments.
    pub windows: &'a [Window],
    /// The rows to be summed over.
    pub segments: &'a [Segment<E>],
    /// The operands on the left, and their totals.
    pub lefts: &'a [Left<'a, E>],
    /// The first window's part replaces the totals, which need not be initialised; no window leaves zeros.
    pub fresh: bool,
}

/// Segments `first..first + count`.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The first segment.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// Rows of the operand on the right.
#[derive(Clone, Copy, Debug)]
pub struct Segment<E> {
    /// The first element.
    pub b: *const E,
    /// Elements between rows.
    pub b_stride: usize,
    /// Rows.
    pub rows: usize,
}

/// An operand on the left, and where its sums go.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a, E> {
    /// Its columns; rows of `total`.
    pub m: usize,
    /// The first element of every segment; empty: ones, so that parts are chains of additions of `b`.
    pub a: &'a [*const E],
    /// Elements between its rows.
    pub a_stride: usize,
    /// The sums.
    pub total: *mut E,
    /// Elements between rows of `total`, a multiple of PAD.
    pub total_stride: usize,
}

/// Tiles of the totals (each of [`TALLEST`] rows) and panels (each of two vectors) that share copied operands.
const TILES: usize = 48;
const PANELS: usize = 8;
/// Elements between copied tiles, and between copied panels, lest they meet in the same sets of the cache.
const GAP: usize = 16;
/// How many rows ahead of the copying memory is asked for.
const AHEAD: usize = 8;
/// Elements that are copied for a row of a tile: whole vectors are quicker than [`TALLEST`] of them.
const WHOLE: usize = 8;

/// Rows of the total of a left operand, [`TALLEST`] or, at its end, fewer.
#[derive(Clone, Copy, Default)]
struct Rows {
    left: usize,
    first: usize,
    count: usize,
}

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn accumulate<P: Path, E: Constants>(accumulate: &Accumulate<'_, E>) {
    // SAFETY: passed on.
    unsafe { accumulate_copies::<P, E>(accumulate, &|_, _| {}) };
}

/// The same of operands that are rounded to bfloat16.
///
/// # Safety
/// As [`accumulate`].
pub(super) unsafe fn accumulate_rounded<P: Path>(accumulate: &Accumulate<'_, f32>) {
    // SAFETY: passed on; what is rounded is scratch memory of f32, which may hold any bits.
    unsafe { accumulate_copies::<P, f32>(accumulate, &|at, count| P::token().vectorize(RoundHere { at, count })) };
}

/// Copies operands, lets `change` change them (an array and how many elements it has), and sums.
///
/// # Safety
/// As [`accumulate`].
unsafe fn accumulate_copies<P: Path, E: Constants>(accumulate: &Accumulate<'_, E>, change: &dyn Fn(*mut E, usize)) {
    let panel = 2 * V::<P::Simd, E>::LANES;
    let sizes = [TILES * (ROWS * TALLEST + GAP), PANELS * (ROWS * panel + GAP), TILES * TALLEST * PANELS * panel];
    let tiles = |left: usize| {
        let m = accumulate.lefts[left].m;
        (0..m).step_by(TALLEST).map(move |first| Rows { left, first, count: TALLEST.min(m - first) })
    };
    with_scratch(sizes, |[a, b, parts]| {
        let mut all = (0..accumulate.lefts.len()).flat_map(tiles);
        let mut group = [Rows::default(); TILES];
        loop {
            let count = group.iter_mut().zip(&mut all).map(|(to, rows)| *to = rows).count();
            if count == 0 {
                return;
            }
            for column in (0..accumulate.v).step_by(PANELS * panel) {
                let mut stretch = Stretch::new(accumulate);
                while stretch.advance() {
                    let tiles = &group[..count];
                    let copied = Copied { accumulate, stretch: &stretch, tiles, a, b, parts, column };
                    // SAFETY: the caller's promise, and the scratch memory was cut for this path.
                    unsafe {
                        P::token().vectorize(CopyOperands(copied));
                        let rows = stretch.runs().iter().map(|run| run.rows).sum::<usize>();
                        (0..count).for_each(|tile| change(copied.tile(tile), rows * TALLEST));
                        let panels = (accumulate.v - column).div_ceil(panel).min(PANELS);
                        (0..panels).for_each(|at| change(copied.panel(at, panel), rows * panel));
                        sums::<P, E>(copied);
                    }
                }
            }
        }
    });
}

/// Copied operands of a stretch, for these tiles and the panels from a column on: in `a` the columns of each tile, in `b`
/// those of each panel, contiguous along the rows. `parts` holds the sums of windows that are not at their end.
struct Copied<'a, E> {
    accumulate: &'a Accumulate<'a, E>,
    stretch: &'a Stretch<'a, E>,
    tiles: &'a [Rows],
    a: *mut E,
    b: *mut E,
    parts: *mut E,
    column: usize,
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
    fn tile(&self, tile: usize) -> *mut E {
        self.a.wrapping_add(tile * (ROWS * TALLEST + GAP))
    }

    /// The panel's copied operand.
    #[inline(always)]
    fn panel(&self, panel: usize, width: usize) -> *mut E {
        self.b.wrapping_add(panel * (ROWS * width + GAP))
    }

    /// The tile's columns in row `row` of a segment; null where they are ones. A wrong row costs nothing until it is read.
    #[inline(always)]
    fn source(&self, tile: &Rows, segment: usize, row: usize) -> *const E {
        let left = &self.accumulate.lefts[tile.left];
        left.a.get(segment).map_or(null(), |a| a.wrapping_add(row * left.a_stride + tile.first))
    }
}

struct CopyOperands<'a, E>(Copied<'a, E>);

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
                copy_nonoverlapping(from.add(r * left.a_stride), to.add(r * TALLEST), WHOLE);
            }
        } else {
            for r in 0..run.rows {
                let from = from.add(r * left.a_stride);
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
    let [first, later] = [run, next].map(|run| run.from.b.wrapping_add(run.row * run.from.b_stride + copied.column));
    for r in 0..run.rows {
        let from = first.wrapping_add(r * run.from.b_stride);
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
    fn ahead(&self, r: usize, first: *const E, later: *const E, stride: usize) -> *const E {
        match (r + AHEAD).checked_sub(self.rows) {
            None => first.wrapping_add((r + AHEAD) * stride),
            Some(beyond) => later.wrapping_add(beyond * stride),
        }
    }
}

/// Adds a stretch to its part of the totals.
///
/// # Safety
/// The processor must have the path, and the operands be copied.
#[inline(always)]
unsafe fn sums<P: Path, E: Constants>(copied: Copied<'_, E>) {
    let lanes = V::<P::Simd, E>::LANES;
    let vectors = (copied.accumulate.v - copied.column).div_ceil(lanes).min(2 * PANELS);
    let thin = copied.tiles.iter().all(|tile| tile.count == 1);
    let mut panel = 0;
    while 2 * panel < vectors {
        let panels = (vectors - 2 * panel) / 2;
        let mut done = 1;
        for (tile, rows) in copied.tiles.iter().enumerate() {
            let at = At { copied, tile, panel };
            // SAFETY: the caller's promise.
            unsafe {
                done = match (rows.count, panels) {
                    (1, 0) => run::<P, E, 1, 1, 1>(at),
                    (2, 0) => run::<P, E, 2, 1, 1>(at),
                    (3, 0) => run::<P, E, 3, 1, 1>(at),
                    (4, 0) => run::<P, E, 4, 1, 1>(at),
                    (5, 0) => run::<P, E, 5, 1, 1>(at),
                    (_, 0) => run::<P, E, 6, 1, 1>(at),
                    // Tiles of one row: more panels, for enough chains to hide a multiply-add's latency.
                    (1, 4..) if thin => run::<P, E, 1, 4, 2>(at),
                    (1, 2..) if thin || wide::<P::Simd>() => run::<P, E, 1, 2, 2>(at),
                    (2, 2..) if wide::<P::Simd>() => run::<P, E, 2, 2, 2>(at),
                    (3, 2..) if wide::<P::Simd>() => run::<P, E, 3, 2, 2>(at),
                    (4, 2..) if wide::<P::Simd>() => run::<P, E, 4, 2, 2>(at),
                    (5, 2..) if wide::<P::Simd>() => run::<P, E, 5, 2, 2>(at),
                    (_, 2..) if wide::<P::Simd>() => run::<P, E, 6, 2, 2>(at),
                    (1, _) => run::<P, E, 1, 1, 2>(at),
                    (2, _) => run::<P, E, 2, 1, 2>(at),
                    (3, _) => run::<P, E, 3, 1, 2>(at),
                    (4, _) => run::<P, E, 4, 1, 2>(at),
                    (5, _) => run::<P, E, 5, 1, 2>(at),
                    _ => run::<P, E, 6, 1, 2>(at),
                };
            }
        }
        panel += done;
    }
}

/// A tile over a panel (or several, from it on).
#[derive(Clone, Copy)]
struct At<'a, E> {
    copied: Copied<'a, E>,
    tile: usize,
    panel: usize,
}

/// `HEIGHT` rows over `WIDTH` panels of `VECTORS` vectors each: the sums are in registers throughout a stretch.
struct Tile<'a, E, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize>(At<'a, E>);

/// # Safety
/// The processor must have the path, and the operands be copied.
#[inline(always)]
unsafe fn run<P: Path, E: Constants, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize>(
    at: At<'_, E>,
) -> usize {
    // SAFETY: the caller's promise.
    let s = unsafe { P::token() };
    s.vectorize(Tile::<E, HEIGHT, WIDTH, VECTORS>(at));
    WIDTH
}

#[expect(clippy::needless_range_loop, reason = "the indices address memory as well as registers")]
impl<E: Constants, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize> WithSimd
    for Tile<'_, E, HEIGHT, WIDTH, VECTORS>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let At { copied, tile, panel } = self.0;
        let rows = &copied.tiles[tile];
        let left = &copied.accumulate.lefts[rows.left];
        let lanes = V::<S, E>::LANES;
        // SAFETY: the caller of `run` promised copied operands; the tile lies within the total, whose rows may be
        // accessed in whole vectors.
        unsafe {
            let total = left.total.add(rows.first * left.total_stride + copied.column + panel * 2 * lanes);
            let parts = copied.parts.add((tile * PANELS + panel) * TALLEST * 2 * lanes);
            let zero = V::splat(s, E::default());
            let mut sums = [[[zero; VECTORS]; WIDTH]; HEIGHT];
            let part = |i: usize, p: usize, v: usize| ((p * TALLEST + i) * 2 + v) * lanes;
            if copied.stretch.continues {
                for i in 0..HEIGHT {
                    for p in 0..WIDTH {
                        for v in 0..VECTORS {
                            sums[i][p][v] = V::load(s, parts.add(part(i, p, v)));
                        }
                    }
                }
            }
            let mut a = copied.tile(tile).cast_const();
            let mut b = copied.panel(panel, 2 * lanes).cast_const();
            let mut replaces = copied.stretch.replaces;
            let mut ends = true;
            for span in copied.stretch.spans() {
                for _ in 0..span.rows {
                    for p in 0..WIDTH {
                        for v in 0..VECTORS {
                            let b = V::load(s, b.add(p * (ROWS * 2 * lanes + GAP) + v * lanes));
                            for i in 0..HEIGHT {
                                sums[i][p][v] = V::splat(s, *a.add(i)).fma(b, sums[i][p][v]);
                            }
                        }
                    }
                    a = a.add(TALLEST);
                    b = b.add(2 * lanes);
                }
                ends = span.ends;
                if ends {
                    for i in 0..HEIGHT {
                        for p in 0..WIDTH {
                            for v in 0..VECTORS {
                                let total = total.add(i * left.total_stride + (p * 2 + v) * lanes);
                                let sum = sums[i][p][v];
                                if replaces { sum } else { V::load(s, total) + sum }.store(total);
                                sums[i][p][v] = zero;
                            }
                        }
                    }
                    replaces = false;
                }
            }
            if !ends {
                for i in 0..HEIGHT {
                    for p in 0..WIDTH {
                        for v in 0..VECTORS {
                            sums[i][p][v].store(parts.add(part(i, p, v)));
                        }
                    }
                }
            }
        }
    }
}
