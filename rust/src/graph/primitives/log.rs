//! ln a.

use super::*;

elementwise!(
    /// ln a.
    Log, "log", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() / vjp.arg(0));
    }
);
