//! ln(1 + eᵃ).

use super::*;

elementwise!(
    /// ln(1 + eᵃ).
    Softplus, "softplus", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * vjp.arg(0).sigmoid());
    }
);
