//! |a|; the derivative at 0 is 0.

use super::*;

elementwise!(
    /// |a|; the derivative at 0 is 0.
    Abs, "abs", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * vjp.arg(0).sign());
    }
);
