//! 1 / (1 + e⁻ᵃ).

use super::*;

elementwise!(
    /// 1 / (1 + e⁻ᵃ).
    Sigmoid, "sigmoid", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * (vjp.out() - vjp.out() * vjp.out()));
    }
);
