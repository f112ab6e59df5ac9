//! Packed weights: a matrix cut into panels of columns, each contiguous along the depth, as [`Gemm`](super::Gemm) reads
//! them.
//!
//! Panel p holds columns p × panel onwards: for each depth k, the panel's values of row k. The last panel may be
//! narrower. The layout differs between paths only in the width of a panel.

use super::element::Element;

/// What an element of packed weights holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// A weight as it is.
    Full,
    /// Two weights of one column and successive depths, rounded to bfloat16; the first is in the upper half. Products
    /// round their operands on the left too. Of float32 only.
    Bfloat16,
}

impl Precision {
    /// Elements of packed weights for a column, given the depth of each term.
    #[must_use]
    pub fn depth(self, terms: impl Iterator<Item = usize>) -> usize {
        terms.map(|k| if self == Precision::Full { k } else { k.div_ceil(2) }).sum()
    }
}

/// Elements of packed weights with so many columns (a multiple of PAD) and so much depth.
#[must_use]
pub fn packed_len(_panel: usize, columns: usize, depth: usize) -> usize {
    columns * depth
}

/// A part of a packed matrix: columns `n0..n0 + n` and depths `k0..k0 + k`, where element (k, n) of the part is
/// `src[k * sk + n * sn]`.
#[derive(Clone, Copy, Debug)]
pub struct Piece<E> {
    /// The first element.
    pub src: *const E,
    /// Elements from one depth to the next.
    pub sk: usize,
    /// Elements from one column to the next.
    pub sn: usize,
    /// The part's first depth.
    pub k0: usize,
    /// Its depth.
    pub k: usize,
    /// The part's first column.
    pub n0: usize,
    /// Its columns.
    pub n: usize,
}

/// Writes packed weights. The pieces must be disjoint; what none covers is zero.
///
/// # Safety
/// `out` must be writable for [`packed_len`] elements, every piece must lie within `columns` and `depth` and its source
/// be readable, and no source may overlap `out`.
pub unsafe fn pack<E: Element>(panel: usize, columns: usize, depth: usize, pieces: &[Piece<E>], out: *mut E) {
    let covered: usize = pieces.iter().map(|piece| piece.k * piece.n).sum();
    if covered < packed_len(panel, columns, depth) {
        // SAFETY: the caller's promise; all bits zero is +0.
        unsafe { out.write_bytes(0, packed_len(panel, columns, depth)) };
    }
    for piece in pieces {
        let mut n = 0;
        while n < piece.n {
            // The columns of this piece that lie in one panel.
            let column = piece.n0 + n;
            let first = column / panel * panel;
            let width = panel.min(columns - first);
            let run = (first + width - column).min(piece.n - n);
            // SAFETY: the piece lies within the matrix, and these columns within the panel.
            unsafe {
                let to = out.add(first * depth + piece.k0 * width + (column - first));
                copy(piece.src.add(n * piece.sn), piece.sk, piece.sn, piece.k, run, to, width);
            }
            n += run;
        }
    }
}

/// As [`pack`], in pairs of depths, as [`Precision::Bfloat16`] says. Each piece must be as deep as the term, of `terms`,
/// that it begins with; a term of odd depth ends in a weight of zero.
///
/// # Safety
/// As [`pack`], with `out` writable for `columns` times [`Precision::depth`] elements of 32 bits.
pub unsafe fn pack_pairs<E: Element>(
    panel: usize,
    columns: usize,
    terms: &[usize],
    pieces: &[Piece<E>],
    out: *mut u32,
) {
    let depth = Precision::Bfloat16.depth(terms.iter().copied());
    // SAFETY: the caller's promise.
    unsafe { out.write_bytes(0, columns * depth) };
    for piece in pieces {
        let before = terms.iter().scan(0, |end, &k| {
            *end += k;
            (*end <= piece.k0).then_some(k)
        });
        let first_pair = Precision::Bfloat16.depth(before);
        for k0 in (0..piece.k).step_by(BLOCK) {
            for n in 0..piece.n {
                let column = piece.n0 + n;
                let first = column / panel * panel;
                let width = panel.min(columns - first);
                for k in k0..piece.k.min(k0 + BLOCK) {
                    // SAFETY: the piece lies within the matrix; the halves of an element are those of its bits.
                    unsafe {
                        let at = first * depth + (first_pair + k / 2) * width + (column - first);
                        let weight = *piece.src.add(k * piece.sk + n * piece.sn);
                        *out.add(at) |= u32::from(nearest(weight.to_f64() as f32)) << (16 * (1 - k % 2));
                    }
                }
            }
        }
    }
}

/// The nearest bfloat16, ties to even, as the upper half of a float32. NaN stays one; what is below the least normal
/// number, which the processors' own instructions take for zero, becomes zero.
#[must_use]
pub fn nearest(value: f32) -> u16 {
    if value.abs() < f32::MIN_POSITIVE { 0 } else { bfloat16(value) }
}

/// The nearest bfloat16, ties to even, as the upper half of a float32; NaN stays one.
pub(super) fn bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((u64::from(bits) + 0x7fff + u64::from(bits >> 16 & 1)) >> 16) as u16
}

/// Depths that are copied at a time where the source runs along the depth, so that the lines which are written stay in
/// the first-level cache.
const BLOCK: usize = 32;

/// `to[k * width + n] = from[k * sk + n * sn]`.
///
/// # Safety
/// All of these elements must be readable and writable.
unsafe fn copy<E: Element>(from: *const E, sk: usize, sn: usize, depth: usize, run: usize, to: *mut E, width: usize) {
    // SAFETY: the caller's promise, for each element that is named.
    unsafe {
        if sn == 1 {
            for k in 0..depth {
                to.add(k * width).copy_from_nonoverlapping(from.add(k * sk), run);
            }
            return;
        }
        for k0 in (0..depth).step_by(BLOCK) {
            for n in 0..run {
                for k in k0..depth.min(k0 + BLOCK) {
                    *to.add(k * width + n) = *from.add(k * sk + n * sn);
                }
            }
        }
    }
}
