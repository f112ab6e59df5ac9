//! b where a is not 0, else c.

use super::*;

elementwise!(
    /// b where a is not 0, else c.
    Select, "select", 3, |vjp| {
        vjp.give_with(1, |vjp| vjp.arg(0).select(vjp.grad(), vjp.zero(1)));
        vjp.give_with(2, |vjp| vjp.arg(0).select(vjp.zero(2), vjp.grad()));
    }
);
