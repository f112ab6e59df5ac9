//! Sums and maxima along rows, and the spreading of one value over a row.

use pulp::{Scalar, Simd, WithSimd};

use super::constants::Constants;
use super::math::max;
use super::simd::V;
use super::tables::Path;

/// What a reduction makes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceKind {
    /// The sum; 0 of no elements.
    Sum,
    /// The greatest element, NaN where there is one; −∞ of no elements.
    Max,
}

/// A reduction of each row over its `n` elements: partial j takes the elements k with k mod 16 = j, ascending; then the
/// 16 partials are joined as 8 (j with j + 8), 4, 2, 1.
///
/// To be valid: `a` readable for `rows` rows of `n` elements, `out` writable for `rows` rows of PAD elements, all of which
/// receive the result.
#[derive(Clone, Copy, Debug)]
pub struct Reduce<E> {
    /// What to make of a row.
    pub kind: ReduceKind,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub n: usize,
    /// The first element.
    pub a: *const E,
    /// Elements between rows of `a`.
    pub a_stride: usize,
    /// The first result.
    pub out: *mut E,
    /// Elements between results.
    pub out_stride: usize,
}

/// Writes the first element of each row of `a` to `width` elements of the row of `out`.
///
/// To be valid: `a` readable for `rows` rows of one element, `out` writable for `rows` rows of `width` elements, a
/// multiple of PAD. `a` and `out` may be the same memory with the same stride.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast<E> {
    /// Rows.
    pub rows: usize,
    /// Elements of a row of `out`.
    pub width: usize,
    /// The first value.
    pub a: *const E,
    /// Elements between values.
    pub a_stride: usize,
    /// The first row.
    pub out: *mut E,
    /// Elements between rows.
    pub out_stride: usize,
}

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn reduce<P: Path, E: Constants>(reduce: &Reduce<E>) {
    struct Run<'a, E>(&'a Reduce<E>);
    impl<E: Constants> WithSimd for Run<'_, E> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            // SAFETY: the caller of `reduce` promised a valid argument.
            unsafe {
                match self.0.kind {
                    ReduceKind::Sum => rows::<S, E, Sum>(s, self.0),
                    ReduceKind::Max => rows::<S, E, Max>(s, self.0),
                }
            }
        }
    }
    // SAFETY: the caller's promise.
    let s = unsafe { P::token() };
    s.vectorize(Run(reduce));
}

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn broadcast<P: Path, E: Constants>(broadcast: &Broadcast<E>) {
    struct Run<'a, E>(&'a Broadcast<E>);
    impl<E: Constants> WithSimd for Run<'_, E> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            let b = self.0;
            for r in 0..b.rows {
                // SAFETY: the caller of `broadcast` promised a valid argument.
                unsafe {
                    let value = V::splat(s, *b.a.add(r * b.a_stride));
                    let row = b.out.add(r * b.out_stride);
                    for k in (0..b.width).step_by(V::<S, E>::LANES) {
                        value.store(row.add(k));
                    }
                }
            }
        }
    }
    // SAFETY: the caller's promise.
    let s = unsafe { P::token() };
    s.vectorize(Run(broadcast));
}

/// Partials of a reduction, on every path.
const PARTIALS: usize = 16;

/// How a reduction joins two values, and what it starts from.
trait Join<E: Constants> {
    fn start() -> E;
    fn join<S: Simd>(a: V<S, E>, b: V<S, E>) -> V<S, E>;
}

struct Sum;

impl<E: Constants> Join<E> for Sum {
    #[inline(always)]
    fn start() -> E {
        E::default()
    }
    #[inline(always)]
    fn join<S: Simd>(a: V<S, E>, b: V<S, E>) -> V<S, E> {
        a + b
    }
}

struct Max;

impl<E: Constants> Join<E> for Max {
    #[inline(always)]
    fn start() -> E {
        -E::INFINITY
    }
    #[inline(always)]
    fn join<S: Simd>(a: V<S, E>, b: V<S, E>) -> V<S, E> {
        max(a, b)
    }
}

#[inline(always)]
unsafe fn rows<S: Simd, E: Constants, J: Join<E>>(s: S, reduce: &Reduce<E>) {
    let lanes = V::<S, E>::LANES;
    let whole = reduce.n - reduce.n % PARTIALS;
    for r in 0..reduce.rows {
        let mut partials = [J::start(); PARTIALS];
        // SAFETY: the caller's promise; a vector of partials is at most all of them, and 16 is a multiple of it.
        unsafe {
            let row = reduce.a.add(r * reduce.a_stride);
            for j in (0..PARTIALS).step_by(lanes) {
                let mut partial = V::load(s, partials.as_ptr().add(j));
                for k in (j..whole).step_by(PARTIALS) {
                    partial = J::join(partial, V::load(s, row.add(k)));
                }
                partial.store(partials.as_mut_ptr().add(j));
            }
            let join = |a, b| J::join(V::splat(Scalar::new(), a), V::splat(Scalar::new(), b)).first();
            for (k, partial) in (whole..reduce.n).zip(&mut partials) {
                *partial = join(*partial, *row.add(k));
            }
            for half in [8, 4, 2, 1] {
                for j in 0..half {
                    partials[j] = join(partials[j], partials[j + half]);
                }
            }
            let out = reduce.out.add(r * reduce.out_stride);
            for k in (0..E::PAD).step_by(lanes) {
                V::splat(s, partials[0]).store(out.add(k));
            }
        }
    }
}
