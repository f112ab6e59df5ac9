//! A product whose weights are shared out: where they are many, each thread reads its own columns of them.
//!
//! This is for calls that cannot be cut by rows, of a single sequence or step. Where other workers are busy with rows of
//! their own, the pool is taken, and the product stays whole. An element of the result is the same chain either way.

use super::pool;
use crate::kernels::{Element, Gemm, Kernels};

/// Bytes of weights a thread from which on another is worth waking.
const SHARE: usize = 512 * 1024;

struct Work<'a, E: 'static>(&'static Kernels<E>, &'a Gemm<'a, E>);
// SAFETY: threads write disjoint columns of the result, and what they read nobody writes meanwhile.
unsafe impl<E> Sync for Work<'_, E> {}

/// Runs a product, on several threads if its weights are many and the threads are free.
///
/// # Safety
/// The argument is valid, as [`Gemm`] says.
pub(super) unsafe fn gemm<E: Element>(kernels: &'static Kernels<E>, gemm: &Gemm<'_, E>) {
    let depth: usize = gemm.terms.iter().map(|term| term.k).sum();
    let shares = (gemm.columns * depth * size_of::<E>() / SHARE).min(pool::num_threads());
    if shares < 2 {
        // SAFETY: the caller's promise.
        return unsafe { (kernels.gemm)(gemm) };
    }
    let (columns, panel) = (gemm.columns, kernels.panel);
    let cut = |share: usize| (columns.div_ceil(panel) * share / shares * panel).min(columns);
    let work = Work(kernels, gemm);
    pool::run(shares, &|share| {
        let work = &work;
        let Work(kernels, whole) = work;
        let columns = cut(share)..cut(share + 1);
        let part = Gemm {
            columns: columns.len(),
            // Packed panels lie one behind the other, each as deep as all.
            weights: whole.weights.wrapping_add(columns.start * depth),
            init: if whole.init.is_null() { whole.init } else { whole.init.wrapping_add(columns.start) },
            out: whole.out.wrapping_add(columns.start),
            ..**whole
        };
        // SAFETY: the caller's promise holds for whole panels of columns too.
        unsafe { (kernels.gemm)(&part) };
    });
}
