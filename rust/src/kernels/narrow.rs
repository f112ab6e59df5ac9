//! Products with weights of 16 or 8 bits, for streams whose speed is that of reading weights.
//!
//! Weights lie in the panels of [`pack`](super::pack). They are widened to float32 exactly, and each element of the result is
//! one chain of fused multiply-adds from +0, k ascending; at the end it is multiplied by its column's scale and added to what
//! was there in one more. So the bits are the same on every path; with weights that are bfloat16 anyway and no start they
//! are those of [`Gemm`](super::Gemm).

use pulp::{Simd, WithSimd};

use super::element::Element;
use super::gemm::{TALLEST, Term, wide};
use super::pack::bfloat16;
use super::simd::V;
use super::tables::Path;

/// How weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The upper half of a float32, rounded to nearest, ties to even: 8 bits of precision, every exponent.
    Bfloat16,
    /// −127 to 127 times a scale for each column.
    Int8,
}

/// A packed matrix of narrow weights.
#[derive(Debug)]
pub struct Narrow {
    weights: Weights,
    /// For each column, what its sums are multiplied by.
    scales: Vec<f32>,
    depth: usize,
}

#[derive(Debug)]
enum Weights {
    Bfloat16(Vec<u16>),
    Int8(Vec<i8>),
}

impl Narrow {
    /// Narrow copies of weights that [`pack`](super::pack) made, of so many columns and so much depth.
    #[must_use]
    pub fn new<E: Element>(width: Width, panel: usize, columns: usize, depth: usize, packed: &[E]) -> Self {
        let value = |index: usize| packed[index].to_f64() as f32;
        // Which column an element of the panels belongs to.
        let column = |index: usize| {
            let first = index / depth / panel * panel;
            first + (index - first * depth) % panel.min(columns - first)
        };
        let count = columns * depth;
        let mut scales = vec![1.0f32; columns];
        let weights = match width {
            Width::Bfloat16 => Weights::Bfloat16((0..count).map(|index| bfloat16(value(index))).collect()),
            Width::Int8 => {
                scales.fill(0.0);
                for index in 0..count {
                    let scale = &mut scales[column(index)];
                    *scale = scale.max(value(index).abs() / 127.0);
                }
                let whole = |index: usize| match scales[column(index)] {
                    0.0 => 0,
                    // A conversion saturates, and makes 0 of NaN.
                    scale => (value(index) / scale).round_ties_even().clamp(-127.0, 127.0) as i8,
                };
                Weights::Int8((0..count).map(whole).collect())
            }
        };
        Self { weights, scales, depth }
    }

    /// Columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.scales.len()
    }

    /// Bytes of a column.
    #[must_use]
    pub fn column_bytes(&self) -> usize {
        let bytes = match self.weights {
            Weights::Bfloat16(_) => 2,
            Weights::Int8(_) => 1,
        };
        self.depth * bytes
    }
}

/// `out[r][n] = fma(scales[n], Σ a[r][k] · weights[k][n], init[r][n])`, for the columns from `first` on.
///
/// To be valid: as [`Gemm`](super::Gemm), with `columns` of the weights' own from a multiple of a panel on.
#[derive(Clone, Copy, Debug)]
pub struct NarrowGemm<'a> {
    /// Rows of every `a`, of `init` and of `out`.
    pub rows: usize,
    /// The columns to be made.
    pub columns: (usize, usize),
    /// The operands on the left, side by side.
    pub terms: &'a [Term<f32>],
    /// The operand on the right.
    pub weights: &'a Narrow,
    /// What is added to; null: +0.
    pub init: *const f32,
    /// Elements between rows of `init`; 0: one row for all.
    pub init_stride: usize,
    /// The result.
    pub out: *mut f32,
    /// Elements between rows of `out`.
    pub out_stride: usize,
}

/// A narrow weight.
trait Weight: Copy {
    fn wide(self) -> f32;
}

impl Weight for u16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }
}

impl Weight for i8 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from(self)
    }
}

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn narrow<P: Path>(gemm: &NarrowGemm<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        match &gemm.weights.weights {
            Weights::Bfloat16(weights) => all::<P, u16>(gemm, weights.as_ptr()),
            Weights::Int8(weights) => all::<P, i8>(gemm, weights.as_ptr()),
        }
    }
}

/// # Safety
/// As [`narrow`].
#[inline(always)]
unsafe fn all<P: Path, W: Weight>(gemm: &NarrowGemm<'_>, weights: *const W) {
    let lanes = V::<P::Simd, f32>::LANES;
    let (mut column, end) = gemm.columns;
    while column < end {
        // SAFETY: the caller's promise; a panel that is one vector wide can only be the last.
        column += lanes
            * unsafe {
                match (gemm.rows, (end - column) / lanes) {
                    (_, 0..2) => rows::<P, W, 1, 1>(gemm, weights, column),
                    // Several panels for a row: enough chains to hide the latency of a multiply-add.
                    (1, 8..) => tile::<P, W, 1, 4, 2>(gemm, weights, (0, column)),
                    (1, 4..) => tile::<P, W, 1, 2, 2>(gemm, weights, (0, column)),
                    (_, 4..) if wide::<P::Simd>() => rows::<P, W, 2, 2>(gemm, weights, column),
                    _ => rows::<P, W, 1, 2>(gemm, weights, column),
                }
            };
    }
}

/// All rows over some panels from a column on, in tiles of about equal height, each of which widens the weights once;
/// returns how many vectors that is.
///
/// # Safety
/// As [`narrow`].
#[inline(always)]
unsafe fn rows<P: Path, W: Weight, const PANELS: usize, const VECTORS: usize>(
    gemm: &NarrowGemm<'_>,
    weights: *const W,
    column: usize,
) -> usize {
    let mut row = 0;
    for tiles in (1..=gemm.rows.div_ceil(TALLEST)).rev() {
        let height = (gemm.rows - row).div_ceil(tiles);
        // SAFETY: the caller's promise.
        unsafe {
            match height {
                1 => tile::<P, W, 1, PANELS, VECTORS>(gemm, weights, (row, column)),
                2 => tile::<P, W, 2, PANELS, VECTORS>(gemm, weights, (row, column)),
                3 => tile::<P, W, 3, PANELS, VECTORS>(gemm, weights, (row, column)),
                4 => tile::<P, W, 4, PANELS, VECTORS>(gemm, weights, (row, column)),
                5 => tile::<P, W, 5, PANELS, VECTORS>(gemm, weights, (row, column)),
                _ => tile::<P, W, 6, PANELS, VECTORS>(gemm, weights, (row, column)),
            };
        }
        row += height;
    }
    PANELS * VECTORS
}

/// Some rows over some panels; returns how many vectors these are.
///
/// # Safety
/// As [`narrow`].
#[inline(always)]
unsafe fn tile<P: Path, W: Weight, const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
    gemm: &NarrowGemm<'_>,
    weights: *const W,
    (row, column): (usize, usize),
) -> usize {
    // SAFETY: the caller's promise.
    let s = unsafe { P::token() };
    s.vectorize(Tile::<W, ROWS, PANELS, VECTORS> { gemm, weights, row, column });
    PANELS * VECTORS
}

struct Tile<'a, W, const ROWS: usize, const PANELS: usize, const VECTORS: usize> {
    gemm: &'a NarrowGemm<'a>,
    weights: *const W,
    row: usize,
    column: usize,
}

/// A vector of widened weights.
#[inline(always)]
unsafe fn widened<S: Simd, W: Weight>(s: S, from: *const W) -> V<S, f32> {
    let mut wide = [0.0f32; 16];
    // SAFETY: the caller's: as many weights as a vector has lanes, of which no path has more than 16.
    unsafe {
        wide.iter_mut().take(V::<S, f32>::LANES).enumerate().for_each(|(lane, w)| *w = (*from.add(lane)).wide());
        V::load(s, wide.as_ptr())
    }
}

#[expect(clippy::needless_range_loop, reason = "the indices address memory as well as registers")]
impl<W: Weight, const ROWS: usize, const PANELS: usize, const VECTORS: usize> WithSimd
    for Tile<'_, W, ROWS, PANELS, VECTORS>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Tile { gemm, weights, row, column } = self;
        let (lanes, depth) = (V::<S, f32>::LANES, gemm.weights.depth);
        let panel = VECTORS * lanes;
        let zero = V::splat(s, 0.0f32);
        // SAFETY: the caller of `narrow` promised valid matrices, and the tile lies within them.
        unsafe {
            let mut chains = [[[zero; VECTORS]; PANELS]; ROWS];
            let mut weights = weights.add(column * depth);
            for term in gemm.terms {
                let a: [*const f32; ROWS] = core::array::from_fn(|r| term.a.add((row + r) * term.stride));
                for k in 0..term.k {
                    for p in 0..PANELS {
                        for v in 0..VECTORS {
                            let w = widened(s, weights.add(p * panel * depth + v * lanes));
                            for r in 0..ROWS {
                                chains[r][p][v] = V::splat(s, *a[r].add(k)).fma(w, chains[r][p][v]);
                            }
                        }
                    }
                    weights = weights.add(panel);
                }
            }
            for r in 0..ROWS {
                for p in 0..PANELS {
                    for v in 0..VECTORS {
                        let at = column + p * panel + v * lanes;
                        let scale = V::load(s, gemm.weights.scales.as_ptr().add(at));
                        let start = match gemm.init.is_null() {
                            true => zero,
                            false => V::load(s, gemm.init.add((row + r) * gemm.init_stride + at)),
                        };
                        scale.fma(chains[r][p][v], start).store(gemm.out.add((row + r) * gemm.out_stride + at));
                    }
                }
            }
        }
    }
}
