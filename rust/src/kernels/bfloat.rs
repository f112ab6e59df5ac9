//! Products whose operands are rounded to bfloat16, with sums in float32: half of the weights' bytes to read.
//!
//! An element of the result is the same chain of fused multiply-adds as in full precision, of other operands. A product of
//! two bfloat16 is exact in float32, so the bits are the same on every path; also with the instruction VDPBF16PS, which
//! multiplies pairs of them and adds the upper product, then the lower one, but takes sums below 2⁻¹²⁶ for zero.

use pulp::{Simd, WithSimd};

use super::constants::Constants;
use super::gemm::{Gemm, One, Step, TALLEST, Term, products};
use super::pack::{Precision, nearest};
use super::scratch::with_scratch;
use super::simd::V;
use super::tables::Path;

/// Elements of rows on the left that are rounded at a time: they stay in the second-level cache.
const BLOCK: usize = 64 * 1024;
/// Rows of them at most.
const ROWS: usize = 16 * TALLEST;
/// From so many rows on, weights are widened once for all of them.
const MANY: usize = 2 * TALLEST;

/// The bits of a float32 that a bfloat16 has.
const UPPER: u32 = 0xffff_0000;

/// Two weights: that of the first depth in the upper half, that of the second in the lower.
struct Pair;

impl Step<f32> for Pair {
    const DEPTHS: usize = 2;
    type Weights<S: Simd> = [V<S, f32>; 2];

    #[inline(always)]
    fn weights<S: Simd>(panel: V<S, f32>) -> [V<S, f32>; 2] {
        [panel.and(panel.bits(UPPER)), panel.upper_shl(16)]
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(s: S, a: *const f32, [first, second]: [V<S, f32>; 2], chains: V<S, f32>) -> V<S, f32> {
        // SAFETY: the caller's promise.
        let [a, b] = unsafe { [*a, *a.add(1)] };
        V::splat(s, b).fma(second, V::splat(s, a).fma(first, chains))
    }
}

/// As [`Gemm`] says, of rounded operands, with weights that [`pack_pairs`](super::pack_pairs) packed.
///
/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn gemm<P: Path>(gemm: &Gemm<'_, f32>) {
    let panels = 2 * 2 * V::<P::Simd, f32>::LANES;
    let many = gemm.rows >= MANY;
    let wide = if many { panels * width(gemm) } else { 0 };
    // SAFETY: passed on; rounded rows are as wide as all pairs, and the panels of some columns lie one behind the other.
    unsafe {
        by_blocks::<P>(gemm, wide, |block, wide| {
            if !many {
                return products::<P, f32, Pair>(block);
            }
            let pairs = block.terms[0].k;
            let terms = &[Term { k: 2 * pairs, ..block.terms[0] }];
            for column in (0..block.columns).step_by(panels) {
                let columns = panels.min(block.columns - column);
                let from = block.weights.add(column * pairs);
                P::token().vectorize(Widen { from, to: wide, columns, pairs });
                products::<P, f32, One>(&Gemm { columns, terms, weights: wide, ..block.from_column(column) });
            }
        });
    }
}

/// Elements of a row of all terms, in whole pairs.
fn width(gemm: &Gemm<'_, f32>) -> usize {
    2 * Precision::Bfloat16.depth(gemm.terms.iter().map(|term| term.k))
}

/// Calls `multiply` with some rows at a time, whose operands on the left are rounded and side by side in one term, its `k`
/// the pairs; and with as much more scratch memory as is asked for.
///
/// # Safety
/// As [`gemm`]; the argument of `multiply` is as valid.
unsafe fn by_blocks<P: Path>(gemm: &Gemm<'_, f32>, more: usize, multiply: impl Fn(&Gemm<'_, f32>, *mut f32)) {
    let width = width(gemm);
    let height = (BLOCK / width.max(1)).clamp(TALLEST, ROWS) / TALLEST * TALLEST;
    with_scratch([height.min(gemm.rows) * width, more], |[left, more]: [*mut f32; 2]| {
        for row in (0..gemm.rows).step_by(height) {
            let rows = height.min(gemm.rows - row);
            // SAFETY: the caller's promise, and the scratch memory holds these rows.
            unsafe { P::token().vectorize(Round { terms: gemm.terms, row, rows, to: left, width }) };
            let terms = &[Term { a: left.cast_const(), stride: width, k: width / 2 }];
            multiply(&Gemm { rows, terms, ..gemm.from_row(row) }, more);
        }
    });
}

/// Makes packed weights of pairs: panels of two vectors, the last of which may have one.
struct Widen {
    from: *const f32,
    to: *mut f32,
    columns: usize,
    pairs: usize,
}

impl WithSimd for Widen {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let lanes = V::<S, f32>::LANES;
        for column in (0..self.columns).step_by(2 * lanes) {
            let width = (2 * lanes).min(self.columns - column);
            for pair in 0..self.pairs {
                let at = column * self.pairs + pair * width;
                for k in (0..width).step_by(lanes) {
                    // SAFETY: whoever made it promises memory for so many pairs and columns.
                    unsafe {
                        let [first, second] = Pair::weights(V::load(s, self.from.add(at + k)));
                        let to = self.to.add(2 * at + k);
                        first.store(to);
                        second.store(to.add(width));
                    }
                }
            }
        }
    }
}

/// Rounds rows of all terms, each filled up with a zero to whole pairs.
struct Round<'a> {
    terms: &'a [Term<f32>],
    row: usize,
    rows: usize,
    to: *mut f32,
    width: usize,
}

impl WithSimd for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        for r in 0..self.rows {
            let mut to = self.to.wrapping_add(r * self.width);
            for term in self.terms {
                let from = term.a.wrapping_add((self.row + r) * term.stride);
                // SAFETY: the caller of `gemm` promised `k` elements of each row, and there is room for whole pairs.
                unsafe {
                    round(s, from, to, term.k);
                    if term.k % 2 == 1 {
                        *to.add(term.k) = 0.0;
                    }
                }
                to = to.wrapping_add(term.k.next_multiple_of(2));
            }
        }
    }
}

/// `to[i] = from[i]`, rounded as [`nearest`] does; both may be the same.
///
/// # Safety
/// `from` is readable and `to` writable for `count` elements.
#[inline(always)]
unsafe fn round<S: Simd>(s: S, from: *const f32, to: *mut f32, count: usize) {
    let lanes = V::<S, f32>::LANES;
    let whole = count / lanes * lanes;
    // SAFETY: the caller's promise.
    unsafe {
        for k in (0..whole).step_by(lanes) {
            let x = V::load(s, from.add(k));
            let odd = x.upper_shr(16).and(x.bits(1));
            let rounded = x.bits_add(x.bits(0x7fff)).bits_add(odd).and(x.bits(UPPER));
            let tiny = x.and(x.bits(f32::MAGNITUDE)).lt(x.constant(f32::MIN_POSITIVE));
            let flushed = tiny.select(x.constant(0.0), rounded);
            x.eq(x).select(flushed, x.constant(f32::NAN)).store(to.add(k));
        }
        for k in whole..count {
            *to.add(k) = f32::from_bits(u32::from(nearest(*from.add(k))) << 16);
        }
    }
}

/// Rounds numbers where they are.
pub(super) struct RoundHere {
    /// The first of them.
    pub(super) at: *mut f32,
    /// How many.
    pub(super) count: usize,
}

impl WithSimd for RoundHere {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        // SAFETY: whoever made it promises that they are there.
        unsafe { round(s, self.at, self.at, self.count) };
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod native {
    //! The same by the instruction VDPBF16PS, which some processors run at twice, some at half the rate of a float32
    //! multiply-add's products.

    use core::arch::x86_64::{
        __m512, __m512bh, _mm512_castsi512_ps, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
    };
    use core::mem::transmute;

    use super::super::gemm::{Gemm, TALLEST};
    use super::super::tables::Avx512Path;
    use super::{UPPER, by_blocks};

    /// Columns of a panel.
    const PANEL: usize = 32;

    /// As [`gemm`](super::gemm).
    ///
    /// # Safety
    /// The processor must have AVX-512 with BF16, and the argument be valid.
    pub(in super::super) unsafe fn gemm(gemm: &Gemm<'_, f32>) {
        // SAFETY: passed on.
        unsafe { by_blocks::<Avx512Path>(gemm, 0, |block, _| multiply(block)) };
    }

    /// A product of rounded rows, which become pairs.
    ///
    /// # Safety
    /// As [`gemm`]; the rows on the left may be overwritten.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn multiply(gemm: &Gemm<'_, f32>) {
        let left = gemm.terms[0];
        // SAFETY: the caller's promise; a row of pairs is half as long, and what is written was read before.
        unsafe {
            for row in 0..gemm.rows {
                let from = left.a.add(row * left.stride).cast::<u32>();
                for pair in 0..left.k {
                    let both = (*from.add(2 * pair) & UPPER) | (*from.add(2 * pair + 1) >> 16);
                    *from.add(pair).cast_mut() = both;
                }
            }
            for column in (0..gemm.columns).step_by(2 * PANEL) {
                let part = gemm.from_column(column);
                for row in (0..gemm.rows).step_by(TALLEST) {
                    let (at, columns) = (part.from_row(row), gemm.columns - column);
                    let weights = gemm.weights.add(column * left.k).cast();
                    let pairs = left.a.add(row * left.stride).cast();
                    match (at.rows, columns / 16) {
                        (1, 4..) => tile::<1, 4>(&at, pairs, weights),
                        (2, 4..) => tile::<2, 4>(&at, pairs, weights),
                        (3, 4..) => tile::<3, 4>(&at, pairs, weights),
                        (4, 4..) => tile::<4, 4>(&at, pairs, weights),
                        (5, 4..) => tile::<5, 4>(&at, pairs, weights),
                        (_, 4..) => tile::<TALLEST, 4>(&at, pairs, weights),
                        (height, vectors) => {
                            for r in 0..height.min(TALLEST) {
                                let (at, pairs) = (at.from_row(r), pairs.add(r * left.stride));
                                match vectors {
                                    3 => tile::<1, 3>(&at, pairs, weights),
                                    2 => tile::<1, 2>(&at, pairs, weights),
                                    _ => tile::<1, 1>(&at, pairs, weights),
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// `ROWS` rows over `VECTORS` vectors of columns, of which two are a panel and an odd one at the end is one by itself.
    ///
    /// # Safety
    /// As [`gemm`]; `left` and `weights` lead to pairs of so many rows and vectors.
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    unsafe fn tile<const ROWS: usize, const VECTORS: usize>(at: &Gemm<'_, f32>, left: *const u32, weights: *const u32) {
        let (pairs, stride) = (at.terms[0].k, at.terms[0].stride);
        // SAFETY: the caller's promise; all vectors are of 512 bits.
        unsafe {
            let mut chains: [[__m512; VECTORS]; ROWS] = [[_mm512_setzero_ps(); VECTORS]; ROWS];
            if !at.init.is_null() {
                for (r, chains) in chains.iter_mut().enumerate() {
                    for (v, chain) in chains.iter_mut().enumerate() {
                        *chain = _mm512_loadu_ps(at.init.add(r * at.init_stride + 16 * v));
                    }
                }
            }
            for pair in 0..pairs {
                for v in 0..VECTORS {
                    let panel = v / 2 * 2;
                    let width = 16 * (VECTORS - panel).min(2);
                    let w = weights.add(16 * panel * pairs + pair * width + 16 * (v - panel));
                    let w: __m512bh = transmute(_mm512_loadu_si512(w.cast()));
                    for (r, chains) in chains.iter_mut().enumerate() {
                        let a = _mm512_set1_epi32((*left.add(r * stride + pair)).cast_signed());
                        chains[v] =
                            _mm512_dpbf16_ps(chains[v], w, transmute::<__m512, __m512bh>(_mm512_castsi512_ps(a)));
                    }
                }
            }
            for (r, chains) in chains.iter().enumerate() {
                for (v, chain) in chains.iter().enumerate() {
                    _mm512_storeu_ps(at.out.add(r * at.out_stride + 16 * v), *chain);
                }
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::pack::{Piece, pack_pairs};
    use super::super::tables::{Avx512Path, Isa};
    use super::*;

    /// A processor that hides the instruction, as virtual machines do, can be told to try it.
    fn has_the_instruction() -> bool {
        Isa::Avx512.available()
            && (is_x86_feature_detected!("avx512bf16") || std::env::var_os("RNNRS_TEST_AVX512_BF16").is_some())
    }

    #[test]
    fn the_instruction_gives_the_same_bits() {
        if !has_the_instruction() {
            eprintln!("this processor has no VDPBF16PS");
            return;
        }
        let number = |i: usize| ((i * 2_654_435_761) % 65_521) as f32 / 30_000.0 - 1.1;
        for (rows, columns, depths) in
            [(1, 16, vec![3]), (5, 48, vec![7, 8]), (13, 80, vec![33]), (64, 208, vec![100, 31]), (200, 112, vec![700])]
        {
            let depth: usize = depths.iter().sum();
            let pairs = Precision::Bfloat16.depth(depths.iter().copied());
            let weights: Vec<f32> = (0..depth * columns).map(number).collect();
            let mut packed = vec![0u32; pairs * columns];
            let mut k0 = 0;
            let pieces: Vec<_> = depths
                .iter()
                .map(|&k| {
                    let src = weights[k0 * columns..].as_ptr();
                    k0 += k;
                    Piece { src, sk: columns, sn: 1, k0: k0 - k, k, n0: 0, n: columns }
                })
                .collect();
            // SAFETY: the pieces cover the matrix.
            unsafe { pack_pairs(32, columns, &depths, &pieces, packed.as_mut_ptr()) };
            let left: Vec<f32> = (0..rows * depth).map(|i| number(7 * i + 1)).collect();
            let mut k0 = 0;
            let terms: Vec<_> = depths
                .iter()
                .map(|&k| {
                    k0 += k;
                    Term { a: left[k0 - k..].as_ptr(), stride: depth, k }
                })
                .collect();
            let init: Vec<f32> = (0..columns).map(number).collect();
            let run = |gemm: unsafe fn(&Gemm<'_, f32>)| {
                let mut out = vec![f32::NAN; rows * columns];
                // SAFETY: the arrays have the shapes that are given, and the processor has the instructions.
                unsafe {
                    gemm(&Gemm {
                        rows,
                        columns,
                        terms: &terms,
                        weights: packed.as_ptr().cast(),
                        init: init.as_ptr(),
                        init_stride: 0,
                        out: out.as_mut_ptr(),
                        out_stride: columns,
                    });
                }
                out.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
            };
            assert!(run(gemm::<Avx512Path>) == run(native::gemm), "{rows} x {depths:?} x {columns}");
        }
    }
}
