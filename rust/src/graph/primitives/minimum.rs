//! The lesser of a and b; at a tie the gradient goes to b.

use super::*;

elementwise!(
    /// The lesser of a and b; at a tie the gradient goes to b.
    Minimum, "minimum", 2, |vjp| {
        vjp.give_with(0, |vjp| vjp.arg(1).greater(vjp.arg(0)).select(vjp.grad(), vjp.zero(0)));
        vjp.give_with(1, |vjp| vjp.arg(1).greater(vjp.arg(0)).select(vjp.zero(1), vjp.grad()));
    }
);
