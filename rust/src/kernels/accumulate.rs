//! Parameter gradients: sums of outer products over time and batch, as one chain of fused multiply-adds per window.

use pulp::{Simd, WithSimd};

use super::bfloat::RoundHere;
use super::constants::Constants;
use super::copies::{Copied, CopyOperands, GAP, PANELS, Rows, TILES};
use super::gemm::{TALLEST, wide};
use super::scratch::with_scratch;
use super::simd::V;
use super::stretch::{ROWS, Stretch};
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
    /// Elements from a row to the next, which may lie before it.
    pub b_stride: isize,
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
    /// Elements from a row to the next.
    pub a_stride: isize,
    /// The sums.
    pub total: *mut E,
    /// Elements between rows of `total`, a multiple of PAD.
    pub total_stride: usize,
}

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn accumulate<P: Path, E: Constants>(accumulate: &Accumulate<'_, E>) {
    // SAFETY: passed on.
    unsafe { accumulate_copies::<P, E>(accumulate, |_, _| {}) };
}

/// The same of operands that are rounded to bfloat16.
///
/// # Safety
/// As [`accumulate`].
pub(super) unsafe fn accumulate_rounded<P: Path>(accumulate: &Accumulate<'_, f32>) {
    // SAFETY: passed on; what is rounded is scratch memory of f32, which may hold any bits.
    unsafe { accumulate_copies::<P, f32>(accumulate, |at, count| P::token().vectorize(RoundHere { at, count })) };
}

/// Copies operands, lets `change` change them (an array and how many elements it has), and sums.
///
/// # Safety
/// As [`accumulate`].
unsafe fn accumulate_copies<P: Path, E: Constants>(accumulate: &Accumulate<'_, E>, change: impl Fn(*mut E, usize)) {
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
