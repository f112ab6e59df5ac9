//! A vector of elements over any of pulp's instruction sets, with exactly the operations whose result IEEE 754 fixes.
//!
//! The kernels are written once over [`V`]. It offers + − × ÷ √, fused multiply-add, compare, select and operations on
//! bits, and nothing else: those have the same result on every path, element for element. pulp's `mul_add_e` (unfused
//! on the scalar path), `min`, `max`, `reduce_*` and `approx_*` are left out for that reason.

use core::ops::{Add, Div, Mul, Sub};

use pulp::Simd;
use pulp::bytemuck::cast;

use super::element::Element;

/// An element type as pulp sees it: its vector and mask types, and the operations on them.
pub(super) trait Lanes: Element {
    type Vector<S: Simd>: Copy;
    type Mask<S: Simd>: Copy;
    type Bits: Copy;

    fn splat<S: Simd>(s: S, x: Self) -> Self::Vector<S>;
    fn splat_bits<S: Simd>(s: S, x: Self::Bits) -> Self::Vector<S>;
    fn add<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn sub<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn mul<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn div<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn sqrt<S: Simd>(s: S, a: Self::Vector<S>) -> Self::Vector<S>;
    fn fma<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    fn fnma<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    fn lt<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Mask<S>;
    fn eq<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Mask<S>;
    fn select<S: Simd>(s: S, m: Self::Mask<S>, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn and<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn or<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn xor<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn bits_add<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn bits_sub<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// The upper 32 bits of each element shifted left by `n`; the lower 32 of a float64 must be zero.
    fn upper_shl<S: Simd>(s: S, a: Self::Vector<S>, n: u32) -> Self::Vector<S>;
    /// The upper 32 bits of each element shifted right by `n`; the lower 32 of a float64 must be zero.
    fn upper_shr<S: Simd>(s: S, a: Self::Vector<S>, n: u32) -> Self::Vector<S>;
}

macro_rules! lanes {
    ($element:ty, $bits:ty, $vector:ident, $mask:ident, $splat:ident, $splat_bits:ident, $to_bits:ident,
     $from_bits:ident, $select:ident, $sqrt:ident, $fma:ident, $fnma:ident;
     $($name:ident = $op:ident -> $out:ident),*; $($bits_name:ident = $bits_op:ident),*; $($shifts:item)*) => {
        impl Lanes for $element {
            type Vector<S: Simd> = S::$vector;
            type Mask<S: Simd> = S::$mask;
            type Bits = $bits;

            #[inline(always)]
            fn splat<S: Simd>(s: S, x: Self) -> S::$vector {
                s.$splat(x)
            }
            #[inline(always)]
            fn splat_bits<S: Simd>(s: S, x: $bits) -> S::$vector {
                s.$from_bits(s.$splat_bits(x))
            }
            #[inline(always)]
            fn sqrt<S: Simd>(s: S, a: S::$vector) -> S::$vector {
                s.$sqrt(a)
            }
            #[inline(always)]
            fn fma<S: Simd>(s: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                s.$fma(a, b, c)
            }
            #[inline(always)]
            fn fnma<S: Simd>(s: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                s.$fnma(a, b, c)
            }
            #[inline(always)]
            fn select<S: Simd>(s: S, m: S::$mask, a: S::$vector, b: S::$vector) -> S::$vector {
                s.$select(m, a, b)
            }
            $(#[inline(always)]
            fn $name<S: Simd>(s: S, a: S::$vector, b: S::$vector) -> S::$out {
                s.$op(a, b)
            })*
            $(#[inline(always)]
            fn $bits_name<S: Simd>(s: S, a: S::$vector, b: S::$vector) -> S::$vector {
                s.$from_bits(s.$bits_op(s.$to_bits(a), s.$to_bits(b)))
            })*
            $($shifts)*
        }
    };
}

lanes!(f32, u32, f32s, m32s, splat_f32s, splat_u32s, transmute_u32s_f32s, transmute_f32s_u32s, select_f32s, sqrt_f32s,
mul_add_f32s, negate_mul_add_f32s;
add = add_f32s -> f32s, sub = sub_f32s -> f32s, mul = mul_f32s -> f32s, div = div_f32s -> f32s,
lt = less_than_f32s -> m32s, eq = equal_f32s -> m32s;
and = and_u32s, or = or_u32s, xor = xor_u32s, bits_add = add_u32s, bits_sub = sub_u32s;
#[inline(always)]
fn upper_shl<S: Simd>(s: S, a: S::f32s, n: u32) -> S::f32s {
    s.transmute_f32s_u32s(s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(a), s.splat_u32s(n)))
}
#[inline(always)]
fn upper_shr<S: Simd>(s: S, a: S::f32s, n: u32) -> S::f32s {
    s.transmute_f32s_u32s(s.wrapping_dyn_shr_u32s(s.transmute_u32s_f32s(a), s.splat_u32s(n)))
});

lanes!(f64, u64, f64s, m64s, splat_f64s, splat_u64s, transmute_u64s_f64s, transmute_f64s_u64s, select_f64s, sqrt_f64s,
mul_add_f64s, negate_mul_add_f64s;
add = add_f64s -> f64s, sub = sub_f64s -> f64s, mul = mul_f64s -> f64s, div = div_f64s -> f64s,
lt = less_than_f64s -> m64s, eq = equal_f64s -> m64s;
and = and_u64s, or = or_u64s, xor = xor_u64s, bits_add = add_u64s, bits_sub = sub_u64s;
#[inline(always)]
fn upper_shl<S: Simd>(s: S, a: S::f64s, n: u32) -> S::f64s {
    if S::IS_SCALAR {
        cast(cast::<_, u64>(a) << n)
    } else {
        cast(s.wrapping_dyn_shl_u32s(cast(a), s.splat_u32s(n)))
    }
}
#[inline(always)]
fn upper_shr<S: Simd>(s: S, a: S::f64s, n: u32) -> S::f64s {
    if S::IS_SCALAR {
        cast((cast::<_, u64>(a) >> n) & 0xffff_ffff_0000_0000)
    } else {
        cast(s.wrapping_dyn_shr_u32s(cast(a), s.splat_u32s(n)))
    }
});

/// Asks for the cache line of an address, which need not be valid, where the architecture has a stable way to.
#[inline(always)]
pub(super) fn prefetch<E>(p: *const E) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch does not access memory.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// A vector of `E` on the instruction set `S`, with operators.
pub(super) struct V<S: Simd, E: Lanes> {
    s: S,
    v: E::Vector<S>,
}

impl<S: Simd, E: Lanes> Clone for V<S, E> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Simd, E: Lanes> Copy for V<S, E> {}

/// The result of a comparison of two vectors.
pub(super) struct Mask<S: Simd, E: Lanes> {
    s: S,
    m: E::Mask<S>,
}

impl<S: Simd, E: Lanes> Clone for Mask<S, E> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Simd, E: Lanes> Copy for Mask<S, E> {}

impl<S: Simd, E: Lanes> Mask<S, E> {
    /// `a` where the mask holds, else `b`.
    #[inline(always)]
    pub(super) fn select(self, a: V<S, E>, b: V<S, E>) -> V<S, E> {
        V { s: self.s, v: <E as Lanes>::select(self.s, self.m, a.v, b.v) }
    }
}

macro_rules! operator {
    ($trait:ident, $name:ident) => {
        impl<S: Simd, E: Lanes> $trait for V<S, E> {
            type Output = Self;
            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                V { s: self.s, v: <E as Lanes>::$name(self.s, self.v, other.v) }
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

macro_rules! bitwise {
    ($($(#[$doc:meta])* $name:ident),*) => {
        $($(#[$doc])*
        #[inline(always)]
        pub(super) fn $name(self, other: Self) -> Self {
            V { s: self.s, v: <E as Lanes>::$name(self.s, self.v, other.v) }
        })*
    };
}

impl<S: Simd, E: Lanes> V<S, E> {
    /// Elements in a vector.
    pub(super) const LANES: usize = size_of::<E::Vector<S>>() / size_of::<E>();

    #[inline(always)]
    pub(super) fn splat(s: S, x: E) -> Self {
        V { s, v: <E as Lanes>::splat(s, x) }
    }

    /// Reads a vector.
    ///
    /// # Safety
    /// `LANES` elements from `p` must be readable.
    #[inline(always)]
    pub(super) unsafe fn load(s: S, p: *const E) -> Self {
        // SAFETY: the caller's promise; the read does not ask for alignment.
        V { s, v: unsafe { p.cast::<E::Vector<S>>().read_unaligned() } }
    }

    /// Writes a vector.
    ///
    /// # Safety
    /// `LANES` elements from `p` must be writable.
    #[inline(always)]
    pub(super) unsafe fn store(self, p: *mut E) {
        // SAFETY: the caller's promise; the write does not ask for alignment.
        unsafe { p.cast::<E::Vector<S>>().write_unaligned(self.v) }
    }

    /// The first element.
    #[inline(always)]
    pub(super) fn first(self) -> E {
        // SAFETY: a vector begins with its first element.
        unsafe { core::ptr::from_ref(&self.v).cast::<E>().read_unaligned() }
    }

    /// The same constant in all lanes of a vector like this one.
    #[inline(always)]
    pub(super) fn constant(self, x: E) -> Self {
        V::splat(self.s, x)
    }

    /// The same bits in all lanes of a vector like this one.
    #[inline(always)]
    pub(super) fn bits(self, x: E::Bits) -> Self {
        V { s: self.s, v: <E as Lanes>::splat_bits(self.s, x) }
    }

    #[inline(always)]
    pub(super) fn sqrt(self) -> Self {
        V { s: self.s, v: <E as Lanes>::sqrt(self.s, self.v) }
    }

    /// self × b + c, rounded once.
    #[inline(always)]
    pub(super) fn fma(self, b: Self, c: Self) -> Self {
        V { s: self.s, v: <E as Lanes>::fma(self.s, self.v, b.v, c.v) }
    }

    /// c − self × b, rounded once.
    #[inline(always)]
    pub(super) fn fnma(self, b: Self, c: Self) -> Self {
        V { s: self.s, v: <E as Lanes>::fnma(self.s, self.v, b.v, c.v) }
    }

    /// self < other; false where either is NaN.
    #[inline(always)]
    pub(super) fn lt(self, other: Self) -> Mask<S, E> {
        Mask { s: self.s, m: <E as Lanes>::lt(self.s, self.v, other.v) }
    }

    /// self = other; false where either is NaN.
    #[inline(always)]
    pub(super) fn eq(self, other: Self) -> Mask<S, E> {
        Mask { s: self.s, m: <E as Lanes>::eq(self.s, self.v, other.v) }
    }

    bitwise!(
        /// Bitwise and.
        and,
        /// Bitwise or.
        or,
        /// Bitwise exclusive or.
        xor,
        /// The sum of the bits as unsigned integers, wrapping.
        bits_add,
        /// The difference of the bits as unsigned integers, wrapping.
        bits_sub
    );

    /// See [`Lanes::upper_shl`].
    #[inline(always)]
    pub(super) fn upper_shl(self, n: u32) -> Self {
        V { s: self.s, v: <E as Lanes>::upper_shl(self.s, self.v, n) }
    }

    /// See [`Lanes::upper_shr`].
    #[inline(always)]
    pub(super) fn upper_shr(self, n: u32) -> Self {
        V { s: self.s, v: <E as Lanes>::upper_shr(self.s, self.v, n) }
    }
}
