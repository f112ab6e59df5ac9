//! a / b.

use super::*;

elementwise!(
    /// a / b.
    Div, "div", 2, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() / vjp.arg(1));
        vjp.give_with(1, |vjp| -(vjp.grad() * vjp.out() / vjp.arg(1)));
    }
);
