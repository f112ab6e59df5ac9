//! The element types, float32 and float64, and their scalar math with the kernels' bits.

use core::fmt::{Debug, Display};
use core::ops::{Add, Div, Mul, Neg, Sub};

use pulp::Scalar;

use super::simd::V;
use super::{Isa, Kernels, Precision, math, tables, trig};

/// A floating-point type that models compute in: `f32` or `f64`.
///
/// The math functions give exactly the bits that the kernels give on every path, and stay within 2 units in the last
/// place of the true value.
pub trait Element:
    Copy
    + Send
    + Sync
    + Default
    + PartialEq
    + PartialOrd
    + Debug
    + Display
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Elements of 64 bytes: rows of buffers are padded to a multiple of it.
    const PAD: usize = 64 / size_of::<Self>();
    /// The name in Python: "float32" or "float64".
    const NAME: &'static str;
    /// Below this magnitude, 2⁻¹⁰⁰ or 2⁻⁹⁰⁰, a state, its gradient and an optimizer's moment are written as +0.
    const TINY: Self;

    /// The nearest element.
    fn from_f64(x: f64) -> Self;
    /// The same value.
    fn to_f64(self) -> f64;
    /// The kernels of a path, or `None` where the processor lacks it.
    fn kernels(isa: Isa) -> Option<&'static Kernels<Self>> {
        Self::kernels_of(isa, Precision::Full)
    }
    /// The same with products of this precision, or `None` where the type has none of it.
    fn kernels_of(isa: Isa, precision: Precision) -> Option<&'static Kernels<Self>>;

    /// √x, correctly rounded.
    #[must_use]
    fn sqrt(self) -> Self;
    /// self × b + c, rounded once.
    #[must_use]
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// eˣ.
    #[must_use]
    fn exp(self) -> Self;
    /// ln x; −∞ at ±0 and NaN below.
    #[must_use]
    fn ln(self) -> Self;
    /// tanh x.
    #[must_use]
    fn tanh(self) -> Self;
    /// 1 / (1 + e⁻ˣ).
    #[must_use]
    fn sigmoid(self) -> Self;
    /// ln(1 + eˣ).
    #[must_use]
    fn softplus(self) -> Self;
    /// sin x.
    #[must_use]
    fn sin(self) -> Self;
    /// cos x.
    #[must_use]
    fn cos(self) -> Self;
}

macro_rules! element {
    ($type:ty, $name:literal, $tiny:expr, $tables:path, $rounding:expr) => {
        impl Element for $type {
            const NAME: &'static str = $name;
            const TINY: Self = $tiny;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $type
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn kernels_of(isa: Isa, precision: Precision) -> Option<&'static Kernels<Self>> {
                match precision {
                    _ if !isa.available() => None,
                    Precision::Full => $tables(isa),
                    Precision::Bfloat16 => $rounding(isa),
                }
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$type>::sqrt(self)
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                <$type>::mul_add(self, b, c)
            }
            fn exp(self) -> Self {
                math::exp(V::splat(Scalar::new(), self)).first()
            }
            fn ln(self) -> Self {
                math::log(V::splat(Scalar::new(), self)).first()
            }
            fn tanh(self) -> Self {
                math::tanh(V::splat(Scalar::new(), self)).first()
            }
            fn sigmoid(self) -> Self {
                math::sigmoid(V::splat(Scalar::new(), self)).first()
            }
            fn softplus(self) -> Self {
                math::softplus(V::splat(Scalar::new(), self)).first()
            }
            fn sin(self) -> Self {
                trig::sin(Scalar::new(), V::splat(Scalar::new(), self)).first()
            }
            fn cos(self) -> Self {
                trig::cos(Scalar::new(), V::splat(Scalar::new(), self)).first()
            }
        }
    };
}

// 2⁻¹⁰⁰ and 2⁻⁹⁰⁰.
element!(f32, "float32", f32::from_bits((127 - 100) << 23), tables::float32, tables::bfloat16);
element!(f64, "float64", f64::from_bits((1023 - 900) << 52), tables::float64, |_| None);
