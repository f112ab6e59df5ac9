//! −a.

use super::*;

elementwise!(
    /// −a.
    Neg, "neg", 1, |vjp| {
        vjp.give(0, -vjp.grad());
    }
);
