//! eᵃ.

use super::*;

elementwise!(
    /// eᵃ.
    Exp, "exp", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * vjp.out());
    }
);
