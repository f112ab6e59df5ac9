//! 1 or −1, and a itself where it is ±0; its derivative is 0.

use super::*;

elementwise!(
    /// 1 or −1, and a itself where it is ±0; its derivative is 0.
    Sign, "sign", 1, |vjp| {
        vjp.nothing();
    }
);
