//! sin a.

use super::*;

elementwise!(
    /// sin a.
    Sin, "sin", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * vjp.arg(0).cos());
    }
);
