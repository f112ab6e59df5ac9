//! The greater of a and b; at a tie the gradient goes to b.

use super::*;

elementwise!(
    /// The greater of a and b; at a tie the gradient goes to b.
    Maximum, "maximum", 2, |vjp| {
        vjp.give_with(0, |vjp| vjp.arg(0).greater(vjp.arg(1)).select(vjp.grad(), vjp.zero(0)));
        vjp.give_with(1, |vjp| vjp.arg(0).greater(vjp.arg(1)).select(vjp.zero(1), vjp.grad()));
    }
);
