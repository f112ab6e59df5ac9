//! Parameter gradients: sums of outer products over time and batch, as one chain of fused multiply-adds per window.

use core::ptr::copy_nonoverlapping;

use pulp::{Simd, WithSimd};

use super::constants::Constants;
use super::gemm::tallest;
use super::scratch::with_scratch;
use super::simd::{V, prefetch};
use super::stretch::{ROWS, Stretch};
use super::tables::Path;

/// `total[m][v] += part` for each window in order, where part is one chain from +0 over the rows of the window's
/// segments in order: `part = fma(a[r][m], b[r][v], part)`.
///
/// To be valid: `a` readable for `rows` rows of `m` elements and `b` for `rows` rows of `v` elements, in every segment;
/// `total` readable and writable for `m` rows of `v` elements rounded up to a multiple of PAD. Where a segment's `a` is
/// null, its elements count as 1, so that part is a chain of additions of `b`.
#[derive(Clone, Copy, Debug)]
pub struct Accumulate<'a, E> {
    /// Rows of `total`; columns of every `a`.
    pub m: usize,
    /// Columns of `total` and of every `b`.
    pub v: usize,
    /// Ranges of segments.
    pub windows: &'a [Window],
    /// The rows to be summed over.
    pub segments: &'a [Segment<E>],
    /// The sums.
    pub total: *mut E,
    /// Elements between rows of `total`, a multiple of PAD.
    pub total_stride: usize,
    /// The first window's part replaces `total`, which need not be initialised; no window leaves zeros.
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

/// Rows of two operands.
#[derive(Clone, Copy, Debug)]
pub struct Segment<E> {
    /// The left operand; null: ones.
    pub a: *const E,
    /// Elements between rows of `a`.
    pub a_stride: usize,
    /// The right operand.
    pub b: *const E,
    /// Elements between rows of `b`.
    pub b_stride: usize,
    /// Rows.
    pub rows: usize,
}

/// Tiles of the total (each of [`tallest`] rows) and panels (each of two vectors) that share copied operands.
const TILES: usize = 32;
const PANELS: usize = 8;
/// Elements between copied tiles, and between copied panels, lest they meet in the same sets of the cache.
const GAP: usize = 16;
/// How many rows ahead of the copying memory is asked for.
const AHEAD: usize = 8;

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn accumulate<P: Path, E: Constants>(accumulate: &Accumulate<'_, E>) {
    let height = tallest::<P::Simd>();
    let panel = 2 * V::<P::Simd, E>::LANES;
    let sizes = [TILES * (ROWS * height + GAP), PANELS * (ROWS * panel + GAP), TILES * height * PANELS * panel];
    with_scratch(sizes, |[a, b, parts]| {
        for column in (0..accumulate.v).step_by(PANELS * panel) {
            for row in (0..accumulate.m).step_by(TILES * height) {
                let mut stretch = Stretch::new(accumulate);
                while stretch.advance() {
                    let copied = Copied { accumulate, stretch: &stretch, height, a, b, parts, row, column };
                    // SAFETY: the caller's promise, and the scratch memory was cut for this path.
                    unsafe {
                        P::token().vectorize(CopyOperands(copied));
                        tiles::<P, E>(copied);
                    }
                }
            }
        }
    });
}

/// Copied operands of a stretch, for the part of the total that begins at (row, column): in `a` the columns of each tile,
/// in `b` those of each panel, contiguous along the rows. `parts` holds the sums of windows that are not at their end.
struct Copied<'a, E> {
    accumulate: &'a Accumulate<'a, E>,
    stretch: &'a Stretch<'a, E>,
    height: usize,
    a: *mut E,
    b: *mut E,
    parts: *mut E,
    row: usize,
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
        self.a.wrapping_add(tile * (ROWS * self.height + GAP))
    }

    /// The panel's copied operand.
    #[inline(always)]
    fn panel(&self, panel: usize, width: usize) -> *mut E {
        self.b.wrapping_add(panel * (ROWS * width + GAP))
    }
}

struct CopyOperands<'a, E>(Copied<'a, E>);

impl<E: Constants> WithSimd for CopyOperands<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let copied = self.0;
        let lanes = V::<S, E>::LANES;
        let height = const { tallest::<S>() };
        let g = copied.accumulate;
        let m = (g.m - copied.row).min(TILES * height);
        let v = (g.v - copied.column).min(PANELS * 2 * lanes);
        let runs = copied.stretch.runs();
        let mut r = 0;
        for (i, run) in runs.iter().enumerate() {
            for j in 0..run.rows {
                let row = run.from.skip(j);
                // What is copied some rows later, here or in the next stretch; a wrong address costs nothing.
                let later = match runs.get(i + 1) {
                    Some(next) if j + AHEAD >= run.rows => next.from.skip(j + AHEAD - run.rows),
                    _ => run.from.skip(j + AHEAD),
                };
                // SAFETY: the caller of `accumulate` promised m and v elements in each row; the scratch memory holds
                // ROWS rows of every tile and panel.
                unsafe {
                    for tile in 0..m.div_ceil(height) {
                        let to = copied.tile(tile).add(r * height);
                        let count = height.min(m - tile * height);
                        let first = copied.row + tile * height;
                        if run.from.a.is_null() {
                            for k in 0..count {
                                *to.add(k) = E::from_f64(1.0);
                            }
                        } else if count == height {
                            prefetch(later.a.wrapping_add(first));
                            copy_nonoverlapping(row.a.add(first), to, height);
                        } else {
                            for k in 0..count {
                                *to.add(k) = *row.a.add(first + k);
                            }
                        }
                    }
                    let from = row.b.add(copied.column);
                    for k in (0..v).step_by(lanes) {
                        let to = copied.panel(k / (2 * lanes), 2 * lanes).add(r * 2 * lanes + k % (2 * lanes));
                        if k + lanes <= v {
                            prefetch(later.b.wrapping_add(copied.column + k));
                            V::load(s, from.add(k)).store(to);
                        } else {
                            V::splat(s, E::default()).store(to);
                            for k in k..v {
                                *to.add(k % lanes) = *from.add(k);
                            }
                        }
                    }
                }
                r += 1;
            }
        }
    }
}

/// Adds a stretch to its part of the total.
///
/// # Safety
/// The processor must have the path, and the operands be copied.
#[inline(always)]
unsafe fn tiles<P: Path, E: Constants>(copied: Copied<'_, E>) {
    let g = copied.accumulate;
    let lanes = V::<P::Simd, E>::LANES;
    let rows = (g.m - copied.row).min(TILES * copied.height);
    let vectors = (g.v - copied.column).div_ceil(lanes).min(2 * PANELS);
    let mut panel = 0;
    while 2 * panel < vectors {
        let panels = (vectors - 2 * panel) / 2;
        let mut done = 1;
        for tile in 0..rows.div_ceil(copied.height) {
            let at = At { copied, tile, panel };
            // SAFETY: the caller's promise.
            unsafe {
                done = match (copied.height.min(rows - tile * copied.height), panels) {
                    (1, 0) => run::<P, E, 1, 1, 1>(at),
                    (2, 0) => run::<P, E, 2, 1, 1>(at),
                    (3, 0) => run::<P, E, 3, 1, 1>(at),
                    (4, 0) => run::<P, E, 4, 1, 1>(at),
                    (5, 0) => run::<P, E, 5, 1, 1>(at),
                    (6, 0) => run::<P, E, 6, 1, 1>(at),
                    (7, 0) => run::<P, E, 7, 1, 1>(at),
                    (_, 0) => run::<P, E, 8, 1, 1>(at),
                    (1, 4..) if rows == 1 => run::<P, E, 1, 4, 2>(at),
                    (1, 2..) if rows == 1 => run::<P, E, 1, 2, 2>(at),
                    (2, 2..) if rows == 2 => run::<P, E, 2, 2, 2>(at),
                    (1, _) => run::<P, E, 1, 1, 2>(at),
                    (2, _) => run::<P, E, 2, 1, 2>(at),
                    (3, _) => run::<P, E, 3, 1, 2>(at),
                    (4, _) => run::<P, E, 4, 1, 2>(at),
                    (5, _) => run::<P, E, 5, 1, 2>(at),
                    (6, _) => run::<P, E, 6, 1, 2>(at),
                    (7, _) => run::<P, E, 7, 1, 2>(at),
                    _ => run::<P, E, 8, 1, 2>(at),
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
        let g = copied.accumulate;
        let lanes = V::<S, E>::LANES;
        let height = const { tallest::<S>() };
        // SAFETY: the caller of `run` promised copied operands; the tile lies within the total, whose rows may be
        // accessed in whole vectors.
        unsafe {
            let total = g.total.add((copied.row + tile * height) * g.total_stride + copied.column + panel * 2 * lanes);
            let parts = copied.parts.add((tile * PANELS + panel) * height * 2 * lanes);
            let zero = V::splat(s, E::default());
            let mut sums = [[[zero; VECTORS]; WIDTH]; HEIGHT];
            let part = |i: usize, p: usize, v: usize| ((p * height + i) * 2 + v) * lanes;
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
                    a = a.add(height);
                    b = b.add(2 * lanes);
                }
                ends = span.ends;
                if ends {
                    for i in 0..HEIGHT {
                        for p in 0..WIDTH {
                            for v in 0..VECTORS {
                                let total = total.add(i * g.total_stride + (p * 2 + v) * lanes);
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
