//! The greatest integer not above a; its derivative is 0.

use super::*;

elementwise!(
    /// The greatest integer not above a; its derivative is 0.
    Floor, "floor", 1, |vjp| {
        vjp.nothing();
    }
);
