//! 1 where a > b, else 0; its derivative is 0.

use super::*;

elementwise!(
    /// 1 where a > b, else 0; its derivative is 0.
    Greater, "greater", 2, |vjp| {
        vjp.nothing();
    }
);
