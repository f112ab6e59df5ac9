//! a · b, element by element.

use super::*;

elementwise!(
    /// a · b, element by element.
    Mul, "mul", 2, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * vjp.arg(1));
        vjp.give_with(1, |vjp| vjp.grad() * vjp.arg(0));
    }
);
