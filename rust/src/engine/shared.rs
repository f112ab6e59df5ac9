//! A product whose weights are shared out: where they are many, each thread reads its own columns of them.
//!
//! This is for calls that cannot be cut by rows, of a single sequence or step. Where other workers are busy with rows of
//! their own, the pool is taken, and the product stays whole. An element of the result is the same chain either way.

use super::pool;
use crate::kernels::{Element, Gemm, Kernels, NarrowGemm};
use std::ops::Range;

/// Bytes of weights a thread from which on another is worth waking.
const SHARE: usize = 512 * 1024;

/// What the threads share: the kernels, and a product.
struct Work<'a, E: 'static, T>(&'static Kernels<E>, &'a T);
// SAFETY: threads write disjoint columns of the result, and what they read nobody writes meanwhile.
unsafe impl<E, T> Sync for Work<'_, E, T> {}

/// Runs a product, on several threads if its weights are many and the threads are free.
///
/// # Safety
/// The argument is valid, as [`Gemm`] says.
pub(super) unsafe fn gemm<E: Element>(kernels: &'static Kernels<E>, gemm: &Gemm<'_, E>) {
    let depth = kernels.precision.depth(gemm.terms.iter().map(|term| term.k));
    let work = Work(kernels, gemm);
    share(gemm.columns, depth * size_of::<E>(), kernels.panel, &|columns| {
        let work = &work;
        let Work(kernels, whole) = work;
        let part = Gemm {
            columns: columns.len(),
            // Packed panels lie one behind the other, each as deep as all.
            weights: whole.weights.wrapping_add(columns.start * depth),
            ..whole.from_column(columns.start)
        };
        // SAFETY: the caller's promise holds for whole panels of columns too.
        unsafe { (kernels.gemm)(&part) };
    });
}

/// The same with narrow weights; the product names all columns.
///
/// # Safety
/// The argument is valid, as [`NarrowGemm`] says.
pub(super) unsafe fn narrow<E: Element>(kernels: &'static Kernels<E>, gemm: &NarrowGemm<'_>) {
    let work = Work(kernels, gemm);
    share(gemm.weights.columns(), gemm.weights.column_bytes(), kernels.panel, &|columns| {
        let work = &work;
        let Work(kernels, whole) = work;
        // SAFETY: as above.
        unsafe { (kernels.narrow)(&NarrowGemm { columns: (columns.start, columns.end), ..**whole }) };
    });
}

/// Calls `body` with all columns, or on several threads with whole panels of them.
fn share(columns: usize, column_bytes: usize, panel: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
    let shares = (columns * column_bytes / SHARE).min(pool::num_threads());
    if shares < 2 {
        return body(0..columns);
    }
    let cut = |share: usize| (columns.div_ceil(panel) * share / shares * panel).min(columns);
    pool::run(shares, &|share| body(cut(share)..cut(share + 1)));
}
