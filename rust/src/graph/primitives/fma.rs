//! a · b + c, rounded once.

use super::*;

elementwise!(
    /// a · b + c, rounded once.
    Fma, "fma", 3, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * vjp.arg(1));
        vjp.give_with(1, |vjp| vjp.grad() * vjp.arg(0));
        vjp.give(2, vjp.grad());
    }
);
