//! 1 where a = b, else 0; its derivative is 0.

use super::*;

elementwise!(
    /// 1 where a = b, else 0; its derivative is 0.
    Equal, "equal", 2, |vjp| {
        vjp.nothing();
    }
);
