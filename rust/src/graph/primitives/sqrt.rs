//! √a.

use super::*;

elementwise!(
    /// √a.
    Sqrt, "sqrt", 1, |vjp| {
        vjp.give_with(0, |vjp| vjp.grad() * 0.5 / vjp.out());
    }
);
