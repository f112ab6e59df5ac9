//! cos a.

use super::*;

elementwise!(
    /// cos a.
    Cos, "cos", 1, |vjp| {
        vjp.give_with(0, |vjp| -(vjp.grad() * vjp.arg(0).sin()));
    }
);
