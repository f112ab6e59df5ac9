//! Parameter gradients: sums of outer products over time and batch, as one chain of fused multiply-adds per window.

use pulp::{Simd, WithSimd};

use super::constants::Constants;
use super::simd::V;
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

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn accumulate<P: Path, E: Constants>(accumulate: &Accumulate<'_, E>) {
    struct Run<'a, E>(&'a Accumulate<'a, E>);
    impl<E: Constants> WithSimd for Run<'_, E> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            // SAFETY: the caller of `accumulate` promised a valid argument.
            unsafe { run(s, self.0) }
        }
    }
    // SAFETY: the caller's promise.
    let s = unsafe { P::token() };
    s.vectorize(Run(accumulate));
}

#[inline(always)]
unsafe fn run<S: Simd, E: Constants>(s: S, g: &Accumulate<'_, E>) {
    let lanes = V::<S, E>::LANES;
    let zero = V::splat(s, E::default());
    // SAFETY: the caller's promise; the last vector of `b` is copied where it would be read beyond its row.
    unsafe {
        for m in 0..g.m {
            let row = g.total.add(m * g.total_stride);
            for v in (0..g.v).step_by(lanes) {
                let valid = lanes.min(g.v - v);
                let mut total = if g.fresh { zero } else { V::load(s, row.add(v)) };
                for (w, window) in g.windows.iter().enumerate() {
                    let mut part = zero;
                    for segment in &g.segments[window.first..window.first + window.count] {
                        for r in 0..segment.rows {
                            let b = segment.b.add(r * segment.b_stride + v);
                            let mut copy = [E::default(); 16];
                            let b = if valid < lanes {
                                core::ptr::copy_nonoverlapping(b, copy.as_mut_ptr(), valid);
                                V::load(s, copy.as_ptr())
                            } else {
                                V::load(s, b)
                            };
                            part = if segment.a.is_null() {
                                part + b
                            } else {
                                V::splat(s, *segment.a.add(r * segment.a_stride + m)).fma(b, part)
                            };
                        }
                    }
                    total = if g.fresh && w == 0 { part } else { total + part };
                }
                total.store(row.add(v));
            }
        }
    }
}
