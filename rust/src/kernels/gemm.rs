//! Matrix products with packed weights, as one chain of fused multiply-adds per output.

use core::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::constants::Constants;
use super::simd::{V, prefetch};
use super::tables::Path;

/// `out[r][n] = init[r][n]`, then for each term and each of its k, ascending,
/// `out[r][n] = fma(a[r][k], weights[k][n], out[r][n])`.
///
/// `init` null means zeros. `out` may be the memory of `init`, but not of any `a`.
///
/// To be valid: `a` readable for `rows` rows of `k` elements each; `weights` packed for this path by
/// [`pack`](super::pack), `columns` wide and the sum of all `k` deep; `init` and `out` readable and writable for `rows`
/// rows of `columns` elements.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a, E> {
    /// Rows of every `a`, of `init` and of `out`.
    pub rows: usize,
    /// Columns: a multiple of PAD.
    pub columns: usize,
    /// The operands on the left, side by side.
    pub terms: &'a [Term<E>],
    /// The packed operand on the right.
    pub weights: *const E,
    /// What the chains start from; null: +0.
    pub init: *const E,
    /// Elements between rows of `init`; 0: one row for all.
    pub init_stride: usize,
    /// The result.
    pub out: *mut E,
    /// Elements between rows of `out`.
    pub out_stride: usize,
}

impl<E> Gemm<'_, E> {
    /// The same with its start and its result from a column on; which weights are meant is the caller's to say.
    #[must_use]
    pub fn from_column(&self, column: usize) -> Self {
        self.moved(column, column)
    }

    /// The same with its start and its result from a row on; its terms are the caller's to move.
    #[must_use]
    pub fn from_row(&self, row: usize) -> Self {
        Self { rows: self.rows - row, ..self.moved(row * self.init_stride, row * self.out_stride) }
    }

    fn moved(&self, init: usize, out: usize) -> Self {
        let init = if self.init.is_null() { self.init } else { self.init.wrapping_add(init) };
        Self { init, out: self.out.wrapping_add(out), ..*self }
    }
}

/// An operand on the left: `k` elements of each row, read at any alignment and not beyond.
#[derive(Clone, Copy, Debug)]
pub struct Term<E> {
    /// The first element.
    pub a: *const E,
    /// Elements between rows.
    pub stride: usize,
    /// Elements of a row.
    pub k: usize,
}

/// Rows of the tallest tile: its accumulators, the vectors of weights and a broadcast must fit the registers.
pub(super) const TALLEST: usize = 6;

/// Whether a tile of so many rows may be two panels wide: 24 accumulators, for which ten operands are read a step where
/// two tiles of one panel read sixteen.
pub(super) const fn wide<S: Simd>() -> bool {
    S::REGISTER_COUNT >= 32
}

/// Depths ahead that weights are asked for: they come from the second-level cache or from beyond.
const AHEAD: usize = 16;

/// What one element of the panels stands for: a step down the chains.
pub(super) trait Step<E: Constants> {
    /// Elements of a row on the left that it takes.
    const DEPTHS: usize;
    /// The weights in a vector of a panel.
    type Weights<S: Simd>: Copy;
    /// Takes them out of it.
    fn weights<S: Simd>(panel: V<S, E>) -> Self::Weights<S>;
    /// The chains after a step.
    ///
    /// # Safety
    /// `a` must be readable for `DEPTHS` elements.
    unsafe fn add<S: Simd>(s: S, a: *const E, weights: Self::Weights<S>, chains: V<S, E>) -> V<S, E>;
}

/// A weight.
pub(super) struct One;

impl<E: Constants> Step<E> for One {
    const DEPTHS: usize = 1;
    type Weights<S: Simd> = V<S, E>;

    #[inline(always)]
    fn weights<S: Simd>(panel: V<S, E>) -> V<S, E> {
        panel
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(s: S, a: *const E, weights: V<S, E>, chains: V<S, E>) -> V<S, E> {
        // SAFETY: the caller's promise.
        V::splat(s, unsafe { *a }).fma(weights, chains)
    }
}

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn gemm<P: Path, E: Constants>(gemm: &Gemm<'_, E>) {
    // SAFETY: passed on.
    unsafe { products::<P, E, One>(gemm) };
}

/// The same with panels of other elements; `k` of each term counts steps.
///
/// # Safety
/// As [`gemm`].
pub(super) unsafe fn products<P: Path, E: Constants, D: Step<E>>(gemm: &Gemm<'_, E>) {
    let depth = gemm.terms.iter().map(|term| term.k).sum();
    let panel = 2 * V::<P::Simd, E>::LANES;
    let mut at = Place { gemm, depth, row: 0, column: 0 };
    while at.column < gemm.columns {
        // SAFETY: the caller's promise, and the panels lie within the matrices. A last panel of one vector is all that
        // can be left of them.
        at.column += panel
            * unsafe {
                match (gemm.rows, (gemm.columns - at.column) / panel) {
                    (_, 0) => rows::<P, E, D, 1, 1>(at),
                    // Several panels for few rows: enough chains to hide the latency of a multiply-add.
                    (1, 4..) => tile::<P, E, D, 1, 4, 2>(at),
                    (1, 2..) => tile::<P, E, D, 1, 2, 2>(at),
                    (2, 2..) => tile::<P, E, D, 2, 2, 2>(at),
                    (3, 2..) => tile::<P, E, D, 3, 2, 2>(at),
                    // One pass over the weights instead of two.
                    (7, 1..) if wide::<P::Simd>() => tile::<P, E, D, 7, 1, 2>(at),
                    (8, 1..) if wide::<P::Simd>() => tile::<P, E, D, 8, 1, 2>(at),
                    (_, 2..) if wide::<P::Simd>() => rows::<P, E, D, 2, 2>(at),
                    _ => rows::<P, E, D, 1, 2>(at),
                }
            };
    }
}

/// All rows over `PANELS` panels of `VECTORS` vectors, in tiles of about equal height; returns the panels done.
#[inline(always)]
unsafe fn rows<P: Path, E: Constants, D: Step<E>, const PANELS: usize, const VECTORS: usize>(
    mut at: Place<'_, E>,
) -> usize {
    let mut tiles = at.gemm.rows.div_ceil(TALLEST);
    while tiles > 0 {
        let height = (at.gemm.rows - at.row).div_ceil(tiles);
        // SAFETY: the caller's promise.
        unsafe {
            match height {
                1 => tile::<P, E, D, 1, PANELS, VECTORS>(at),
                2 => tile::<P, E, D, 2, PANELS, VECTORS>(at),
                3 => tile::<P, E, D, 3, PANELS, VECTORS>(at),
                4 => tile::<P, E, D, 4, PANELS, VECTORS>(at),
                5 => tile::<P, E, D, 5, PANELS, VECTORS>(at),
                _ => tile::<P, E, D, 6, PANELS, VECTORS>(at),
            };
        }
        at.row += height;
        tiles -= 1;
    }
    PANELS
}

/// Where a tile stands: its first row and column, and how deep all weights are.
#[derive(Clone, Copy)]
struct Place<'a, E> {
    gemm: &'a Gemm<'a, E>,
    depth: usize,
    row: usize,
    column: usize,
}

/// `ROWS` rows over `PANELS` panels of `VECTORS` vectors each, kept in registers throughout. Each tile is a function of
/// its own, which the compiler's register allocation needs.
struct Tile<'a, E, D, const ROWS: usize, const PANELS: usize, const VECTORS: usize>(Place<'a, E>, PhantomData<D>);

/// Computes a tile; returns `PANELS`, for so many panels done.
///
/// # Safety
/// The processor must have the path, and the tile lie within valid matrices.
#[inline(always)]
unsafe fn tile<P: Path, E: Constants, D: Step<E>, const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
    at: Place<'_, E>,
) -> usize {
    // SAFETY: the caller's promise.
    let s = unsafe { P::token() };
    s.vectorize(Tile::<E, D, ROWS, PANELS, VECTORS>(at, PhantomData));
    PANELS
}

#[expect(clippy::needless_range_loop, reason = "the indices address memory as well as registers")]
impl<E: Constants, D: Step<E>, const ROWS: usize, const PANELS: usize, const VECTORS: usize> WithSimd
    for Tile<'_, E, D, ROWS, PANELS, VECTORS>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Place { gemm, depth, row, column } = self.0;
        let lanes = V::<S, E>::LANES;
        let panel = 2 * lanes;
        // SAFETY: the caller of `tile` promised that it lies within valid matrices.
        unsafe {
            let mut chains = [[[V::splat(s, E::default()); VECTORS]; PANELS]; ROWS];
            if !gemm.init.is_null() {
                for (r, chains) in chains.iter_mut().enumerate() {
                    let from = gemm.init.add((row + r) * gemm.init_stride + column);
                    for p in 0..PANELS {
                        for v in 0..VECTORS {
                            chains[p][v] = V::load(s, from.add(p * panel + v * lanes));
                        }
                    }
                }
            }
            let mut weights = gemm.weights.add(column * depth);
            for term in gemm.terms {
                let a: [*const E; ROWS] = core::array::from_fn(|r| term.a.add((row + r) * term.stride));
                for k in 0..term.k {
                    for p in 0..PANELS {
                        for v in 0..VECTORS {
                            let w = weights.add(p * panel * depth + v * lanes);
                            if ROWS > 3 {
                                prefetch(w.wrapping_add(AHEAD * VECTORS * lanes));
                            }
                            let w = D::weights(V::load(s, w));
                            for r in 0..ROWS {
                                chains[r][p][v] = D::add(s, a[r].add(k * D::DEPTHS), w, chains[r][p][v]);
                            }
                        }
                    }
                    weights = weights.add(VECTORS * lanes);
                }
            }
            for (r, chains) in chains.iter().enumerate() {
                let to = gemm.out.add((row + r) * gemm.out_stride + column);
                for p in 0..PANELS {
                    for v in 0..VECTORS {
                        chains[p][v].store(to.add(p * panel + v * lanes));
                    }
                }
            }
        }
    }
}
