//! Matrix products with packed weights, as one chain of fused multiply-adds per output.

use pulp::{Simd, WithSimd};

use super::constants::Constants;
use super::simd::V;
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

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn gemm<P: Path, E: Constants>(gemm: &Gemm<'_, E>) {
    struct Run<'a, E>(&'a Gemm<'a, E>);
    impl<E: Constants> WithSimd for Run<'_, E> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            // SAFETY: the caller of `gemm` promised a valid argument.
            unsafe { run(s, self.0) }
        }
    }
    // SAFETY: the caller's promise.
    let s = unsafe { P::token() };
    s.vectorize(Run(gemm));
}

/// Rows of the tallest tile: its accumulators, two vectors of weights and a broadcast must fit the registers.
const fn tallest<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 6 }
}

/// Where a tile stands: its first row and column, and how deep all weights are.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    depth: usize,
}

#[inline(always)]
unsafe fn run<S: Simd, E: Constants>(s: S, g: &Gemm<'_, E>) {
    let depth: usize = g.terms.iter().map(|term| term.k).sum();
    let panel = 2 * V::<S, E>::LANES;
    let mut column = 0;
    while column < g.columns {
        let panels = (g.columns - column) / panel;
        let place = Place { row: 0, column, depth };
        // SAFETY: the panels and rows lie within the matrices; a last panel of one vector is all that can be left.
        column += panel
            * unsafe {
                match (g.rows, panels) {
                    (_, 0) => rows::<S, E, 1>(s, g, place),
                    (1, 4..) => tile::<S, E, 1, 4, 2>(s, g, place),
                    (1 | 2, 2..) => few::<S, E, 2>(s, g, place),
                    (3, 2..) => tile::<S, E, 3, 2, 2>(s, g, place),
                    _ => rows::<S, E, 2>(s, g, place),
                }
            };
    }
}

/// One or two rows over `PANELS` panels: enough chains to hide the latency of a multiply-add.
#[inline(always)]
unsafe fn few<S: Simd, E: Constants, const PANELS: usize>(s: S, g: &Gemm<'_, E>, place: Place) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        if g.rows == 1 { tile::<S, E, 1, PANELS, 2>(s, g, place) } else { tile::<S, E, 2, PANELS, 2>(s, g, place) }
    }
}

/// All rows over one panel of `VECTORS` vectors, in tiles of about equal height.
#[inline(always)]
unsafe fn rows<S: Simd, E: Constants, const VECTORS: usize>(s: S, g: &Gemm<'_, E>, mut place: Place) -> usize {
    let mut tiles = g.rows.div_ceil(const { tallest::<S>() });
    while tiles > 0 {
        let height = (g.rows - place.row).div_ceil(tiles);
        // SAFETY: the caller's promise.
        unsafe {
            match height {
                1 => tile::<S, E, 1, 1, VECTORS>(s, g, place),
                2 => tile::<S, E, 2, 1, VECTORS>(s, g, place),
                3 => tile::<S, E, 3, 1, VECTORS>(s, g, place),
                4 => tile::<S, E, 4, 1, VECTORS>(s, g, place),
                5 => tile::<S, E, 5, 1, VECTORS>(s, g, place),
                6 => tile::<S, E, 6, 1, VECTORS>(s, g, place),
                7 => tile::<S, E, 7, 1, VECTORS>(s, g, place),
                _ => tile::<S, E, 8, 1, VECTORS>(s, g, place),
            };
        }
        place.row += height;
        tiles -= 1;
    }
    1
}

/// `ROWS` rows over `PANELS` panels of `VECTORS` vectors each, kept in registers throughout; returns `PANELS`.
#[inline(always)]
unsafe fn tile<S: Simd, E: Constants, const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
    s: S,
    g: &Gemm<'_, E>,
    place: Place,
) -> usize {
    let lanes = V::<S, E>::LANES;
    let panel = 2 * lanes;
    // SAFETY: the tile lies within the matrices.
    unsafe {
        let mut chains = [[[V::splat(s, E::default()); VECTORS]; PANELS]; ROWS];
        if !g.init.is_null() {
            for (r, row) in chains.iter_mut().enumerate() {
                let from = g.init.add((place.row + r) * g.init_stride + place.column);
                for (p, vectors) in row.iter_mut().enumerate() {
                    for (v, chain) in vectors.iter_mut().enumerate() {
                        *chain = V::load(s, from.add(p * panel + v * lanes));
                    }
                }
            }
        }
        let mut weights = g.weights.add(place.column * place.depth);
        for term in g.terms {
            let a: [*const E; ROWS] = core::array::from_fn(|r| term.a.add((place.row + r) * term.stride));
            for k in 0..term.k {
                for p in 0..PANELS {
                    for v in 0..VECTORS {
                        let w = V::load(s, weights.add(p * panel * place.depth + v * lanes));
                        for r in 0..ROWS {
                            chains[r][p][v] = V::splat(s, *a[r].add(k)).fma(w, chains[r][p][v]);
                        }
                    }
                }
                weights = weights.add(VECTORS * lanes);
            }
        }
        for (r, row) in chains.iter().enumerate() {
            let to = g.out.add((place.row + r) * g.out_stride + place.column);
            for (p, vectors) in row.iter().enumerate() {
                for (v, chain) in vectors.iter().enumerate() {
                    chain.store(to.add(p * panel + v * lanes));
                }
            }
        }
    }
    PANELS
}
