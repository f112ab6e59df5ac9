//! a − b.

use super::*;

elementwise!(
    /// a − b.
    Sub, "sub", 2, |vjp| {
        vjp.give(0, vjp.grad());
        vjp.give(1, -vjp.grad());
    }
);
