//! exp, log, sigmoid, tanh, softplus, floor and the small functions, on IEEE operations alone.
//!
//! Each is one formula for float32 and float64; a type brings its constants. Since nothing but + − × ÷ √, fused
//! multiply-add, compare, select and bits is used, in one fixed order, a result has the same bits on every path.

use pulp::Simd;

use super::constants::Constants;
use super::simd::V;

/// c[0] + c[1] x + …, at least two coefficients. Even and odd powers apart: half the latency of Horner's scheme.
#[inline(always)]
pub(super) fn polynomial<S: Simd, E: Constants>(x: V<S, E>, x2: V<S, E>, c: &'static [E]) -> V<S, E> {
    let n = c.len();
    let mut parts = [x.constant(c[(n - 1) & !1]), x.constant(c[(n - 2) | 1])];
    for k in (0..n - 2).rev() {
        parts[k & 1] = parts[k & 1].fma(x2, x.constant(c[k]));
    }
    parts[1].fma(x, parts[0])
}

/// |x|.
#[inline(always)]
pub(super) fn abs<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    x.and(x.bits(E::MAGNITUDE))
}

/// The sign of `s` on the magnitude `x`, which is not negative.
#[inline(always)]
fn with_sign<S: Simd, E: Constants>(x: V<S, E>, s: V<S, E>) -> V<S, E> {
    x.or(s.and(s.bits(E::SIGN)))
}

/// The greater; NaN where either is NaN; `b` where they are equal.
#[inline(always)]
pub(super) fn max<S: Simd, E: Constants>(a: V<S, E>, b: V<S, E>) -> V<S, E> {
    // Where a is a number the first select leaves b exactly when b is not less, or is NaN.
    a.eq(a).select(b.lt(a).select(a, b), a)
}

/// The lesser; NaN where either is NaN; `b` where they are equal.
#[inline(always)]
pub(super) fn min<S: Simd, E: Constants>(a: V<S, E>, b: V<S, E>) -> V<S, E> {
    a.eq(a).select(a.lt(b).select(a, b), a)
}

/// −x.
#[inline(always)]
pub(super) fn negative<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    x.xor(x.bits(E::SIGN))
}

/// x where it is at most `limit`, else `limit`; NaN stays.
#[inline(always)]
fn at_most<S: Simd, E: Constants>(x: V<S, E>, limit: E) -> V<S, E> {
    let limit = x.constant(limit);
    limit.lt(x).select(limit, x)
}

/// x where it is at least `limit`, else `limit`; NaN stays.
#[inline(always)]
fn at_least<S: Simd, E: Constants>(x: V<S, E>, limit: E) -> V<S, E> {
    let limit = x.constant(limit);
    x.lt(limit).select(limit, x)
}

/// eˣ = 2ⁿ (1 + p): returns p = eʳ − 1 with r = x − n ln 2, |r| ≤ ½ ln 2, and n as [`Constants::INDEX`] has it.
#[inline(always)]
fn exp_parts<S: Simd, E: Constants>(x: V<S, E>) -> (V<S, E>, V<S, E>) {
    let shifted = x.fma(x.constant(E::LOG2_E), x.constant(E::ROUND));
    let n = shifted - x.constant(E::ROUND);
    let index = if E::ROUND == E::INDEX { shifted } else { n + x.constant(E::INDEX) };
    let r = n.fnma(x.constant(E::LN2_LO), n.fnma(x.constant(E::LN2_HI), x));
    let r2 = r * r;
    (r2.fma(polynomial(r, r2, E::EXP), r), index)
}

/// 2ⁿ for an index of n, where it is normal.
#[inline(always)]
fn power<S: Simd, E: Constants>(index: V<S, E>) -> V<S, E> {
    index.upper_shl(E::SHIFT).bits_add(index.bits(E::ONE))
}

/// eˣ for EXP_MIN ≤ x ≤ EXP_MAX. 2ⁿ is applied as two factors, so that only the last multiplication rounds where the
/// result is denormal, and none overflows before its time.
#[inline(always)]
fn exp_in_range<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    let (p, index) = exp_parts(x);
    let half = index.upper_shr(1);
    (p + x.constant(E::from_f64(1.0))) * power(half) * power(index.bits_sub(half))
}

/// eˣ.
#[inline(always)]
pub(super) fn exp<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    exp_in_range(at_most(at_least(x, E::EXP_MIN), E::EXP_MAX))
}

/// exp(−|x|), which every function of a logistic shape is made of.
#[inline(always)]
fn exp_minus_abs<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    exp_in_range(at_least(x.or(x.bits(E::SIGN)), E::EXP_MIN))
}

/// 1 / (1 + e⁻ˣ), as c / (c + c e⁻ˣ) with a c so small that c e⁻ˣ is finite wherever the result is not 0: accurate into
/// the denormals, with one division.
#[inline(always)]
pub(super) fn sigmoid<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    let (p, index) = exp_parts(negative(at_most(at_least(x, E::EXP_MIN), E::SIGMOID_MAX)));
    let c = x.bits(E::SIGMOID_SCALE);
    let scale = index.upper_shl(E::SHIFT).bits_add(c);
    // c + scale (1 + p), with the rounding of c + scale made good.
    let sum = scale + c;
    let rounding = c - (sum - scale);
    c / (sum + scale.fma(p, rounding))
}

/// tanh |x| = 1 − 2 / (e^2|x| + 1) with e^2|x| = 2ⁿ (1 + p), or a polynomial where that would cancel; then the sign.
#[inline(always)]
pub(super) fn tanh<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    let one = x.constant(E::from_f64(1.0));
    let a = abs(x);
    let z = a * a;
    let small = (a * z).fma(polynomial(z, z * z, E::TANH), a);
    let limited = at_most(a, E::TANH_MAX);
    let (p, index) = exp_parts(limited + limited);
    let scale = power(index);
    let large = one - x.constant(E::from_f64(2.0)) / scale.fma(p, scale + one);
    with_sign(x.constant(E::TANH_SMALL).lt(a).select(large, small), x)
}

/// log(1 + f) = f − (f²/2 − s (f²/2 + R(s²))) with s = f / (2 + f), the form of fdlibm (Ng, 1993), in the two parts
/// f and f²/2 and s (f²/2 + R).
#[inline(always)]
fn log1p_parts<S: Simd, E: Constants>(f: V<S, E>, c: &'static [E]) -> (V<S, E>, V<S, E>) {
    let s = f / (f + f.constant(E::from_f64(2.0)));
    let z = s * s;
    let half = f.constant(E::from_f64(0.5)) * f * f;
    (half, s * z.fma(polynomial(z, z * z, c), half))
}

/// ln x; −∞ at ±0, NaN below. x = 2ᵉ (1 + f) with √½ ≤ 1 + f < √2.
#[inline(always)]
pub(super) fn log<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    let zero = x.constant(E::from_f64(0.0));
    let denormal = x.lt(x.constant(E::NORMAL));
    let raised = denormal.select(x * x.constant(E::RAISE), x);
    let bits = raised.bits_add(x.bits(E::ONE)).bits_sub(x.bits(E::SQRT_HALF));
    let count = bits.and(x.bits(E::EXPONENT)).upper_shr(E::SHIFT).or(x.bits(E::COUNT));
    let e = count - x.constant(E::COUNT_BIAS) - denormal.select(x.constant(E::RAISED), zero);
    let f = bits.and(x.bits(E::SIGNIFICAND)).bits_add(x.bits(E::SQRT_HALF)) - x.constant(E::from_f64(1.0));
    let (half, rest) = log1p_parts(f, E::LOG);
    let result = e.fma(x.constant(E::LN2_HI), f - (half - e.fma(x.constant(E::LN2_LO), rest)));
    let result = x.lt(x.constant(E::INFINITY)).select(result, x);
    let result = x.eq(zero).select(x.constant(E::INFINITY).xor(x.bits(E::SIGN)), result);
    x.lt(zero).select(x.constant(E::NAN), result)
}

/// log(1 + eˣ) = max(x, 0) + log(1 + exp(−|x|)).
#[inline(always)]
pub(super) fn softplus<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    let zero = x.constant(E::from_f64(0.0));
    let e = exp_minus_abs(x);
    let (half, rest) = log1p_parts(e, E::LOG1P);
    zero.lt(x).select(x, zero) + (e - (half - rest))
}

/// max(x, 0); NaN stays.
#[inline(always)]
pub(super) fn relu<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    max(x, x.constant(E::from_f64(0.0)))
}

/// 1, −1, or x itself where it is ±0 or NaN.
#[inline(always)]
pub(super) fn sign<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    let one = x.constant(E::from_f64(1.0));
    let zero = x.constant(E::from_f64(0.0));
    zero.lt(x).select(one, x.lt(zero).select(zero - one, x))
}

/// The greatest integer not above x.
#[inline(always)]
pub(super) fn floor<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    let a = abs(x);
    let integers = x.constant(E::INTEGERS);
    let rounded = with_sign((a + integers) - integers, x);
    let below = x.lt(rounded).select(rounded - x.constant(E::from_f64(1.0)), rounded);
    a.lt(integers).select(below, x)
}

/// +0 where |x| < TINY, else x; NaN stays.
#[inline(always)]
pub(super) fn flush<S: Simd, E: Constants>(x: V<S, E>) -> V<S, E> {
    abs(x).lt(x.constant(E::TINY)).select(x.constant(E::from_f64(0.0)), x)
}
