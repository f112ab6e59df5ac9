//! tanh a.

use super::*;

elementwise!(
    /// tanh a.
    Tanh, "tanh", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * (1.0 - vjp.out() * vjp.out()));
    }
);
