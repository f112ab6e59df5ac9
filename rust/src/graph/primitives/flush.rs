//! a, or +0 where |a| is below 2⁻¹⁰⁰ (float64: 2⁻⁹⁰⁰), so that denormals do not slow the loop; the VJP ignores it.

use super::*;

elementwise!(
    /// a, or +0 where |a| is below 2⁻¹⁰⁰ (float64: 2⁻⁹⁰⁰), so that denormals do not slow the loop; the VJP ignores it.
    Flush, "flush", 1, |vjp| {
        vjp.give(0, vjp.grad());
    }
);
