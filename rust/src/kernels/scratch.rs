//! Scratch memory of a thread, kept from call to call, for kernels that copy their operands.

use std::cell::RefCell;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with arrays of at least so many elements, each beginning at a cache line and holding arbitrary bits of
/// earlier calls (or zeros). `E` must be valid with any bits, as floating-point numbers are. Not to be nested.
pub(super) fn with_scratch<E, const N: usize, R>(sizes: [usize; N], body: impl FnOnce([*mut E; N]) -> R) -> R {
    LINES.with_borrow_mut(|lines| {
        let needed = sizes.map(|n| (n * size_of::<E>()).div_ceil(size_of::<Line>()));
        let total = needed.iter().sum();
        if lines.len() < total {
            lines.resize(total, Line([0; 64]));
        }
        let mut next = lines.as_mut_ptr();
        body(needed.map(|n| {
            let start = next.cast::<E>();
            next = next.wrapping_add(n);
            start
        }))
    })
}
