//! max(a, 0); the derivative at 0 is 0.

use super::*;

elementwise!(
    /// max(a, 0); the derivative at 0 is 0.
    Relu, "relu", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.out().greater(vjp.zero(0)).select(vjp.grad(), vjp.zero(0)));
    }
);
