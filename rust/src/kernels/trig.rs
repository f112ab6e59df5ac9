//! sin and cos over the whole range.
//!
//! x = q π/2 + r with |r| ≤ π/4. Up to `SPLIT_MAX` π/2 is subtracted in parts whose multiples are exact (Cody and
//! Waite); a larger argument is multiplied with the bits of 2/π that matter (Payne and Hanek), element by element.

use pulp::Simd;

use super::constants::Constants;
use super::math::{abs, polynomial};
use super::simd::{Mask, V};

/// Elements of the longest vector there is: 512 bits of float32.
const LONGEST: usize = 16;

/// 2/π in binary, after the point: enough for the largest float64 and 190 bits more.
const TWO_OVER_PI: [u64; 20] = [
    0xa2f9_836e_4e44_1529,
    0xfc27_57d1_f534_ddc0,
    0xdb62_9599_3c43_9041,
    0xfe51_63ab_debb_c561,
    0xb724_6e3a_424d_d2e0,
    0x0649_2eea_09d1_921c,
    0xfe1d_eb1c_b129_a73e,
    0xe882_35f5_2ebb_4484,
    0xe99c_7026_b45f_7e41,
    0x3991_d639_8353_39f4,
    0x9c84_5f8b_bdf9_283b,
    0x1ff8_97ff_de05_980f,
    0xef2f_118b_5a0a_6d1f,
    0x6d36_7ecf_27cb_09b7,
    0x4f46_3f66_9e5f_ea2d,
    0x7527_bac7_ebe5_f17b,
    0x3d07_39f7_8a52_92ea,
    0x6bfb_5fb1_1f8d_5d08,
    0x5603_3046_fc7b_6bab,
    0xf0cf_bc20_9af4_361d,
];

/// 64 bits of 2/π from bit `at` after the point on; bits before the point are zero.
fn window(at: i32) -> u64 {
    let word = |i: i32| usize::try_from(i).ok().and_then(|i| TWO_OVER_PI.get(i)).copied().unwrap_or(0);
    let (i, shift) = (at.div_euclid(64), at.rem_euclid(64));
    if shift == 0 { word(i) } else { word(i) << shift | word(i + 1) >> (64 - shift) }
}

/// x = q π/2 + r for a finite x ≥ 1, with q modulo 4, as (q, r).
fn reduce_large(x: f64) -> (u8, f64) {
    let bits = x.to_bits();
    let significand = u128::from(bits & f64::SIGNIFICAND | 1 << 52);
    // x = significand × 2^exponent. Bits of 2/π above 2^(2 − exponent) make multiples of 4: left out.
    let exponent = (bits >> 52) as i32 - 1075;
    let at = exponent - 2;
    // significand × window, of which the low 192 bits are x 2/π modulo 4 with 190 bits after the point.
    let low = significand * u128::from(window(at + 128));
    let mid = significand * u128::from(window(at + 64)) + (low >> 64);
    let high = (significand * u128::from(window(at)) + (mid >> 64)) as u64;
    let q = (high >> 62) as u8;
    let fraction =
        u128::from(high << 2 | (mid as u64) >> 62) << 64 | u128::from((mid as u64) << 2 | (low as u64) >> 62);
    // To the nearest: a fraction from a half on belongs to the next quadrant.
    let (q, magnitude, sign) =
        if fraction >> 127 == 0 { (q, fraction, 1.0) } else { ((q + 1) & 3, fraction.wrapping_neg(), -1.0) };
    let zeros = magnitude.leading_zeros();
    let top = (magnitude << (zeros & 127)) >> 64;
    const HALF_PI: u128 = 0xc90f_daa2_2168_c235; // π/2 × 2^63
    let r = (top * HALF_PI) as f64; // |r| × 2^(127 + zeros)
    let scale = f64::from_bits(((1023 - 127 - i64::from(zeros)) as u64) << 52);
    (q, sign * r * scale)
}

/// x = q π/2 + r as (q, r), with q in 0..=3.
#[inline(always)]
fn reduce<S: Simd, E: Constants>(s: S, x: V<S, E>) -> (V<S, E>, V<S, E>) {
    let round = x.constant(E::ROUND);
    let n = x.fma(x.constant(E::TWO_OVER_PI), round) - round;
    let mut r = x;
    for part in E::HALF_PI {
        r = n.fnma(x.constant(*part), r);
    }
    let four = x.constant(E::from_f64(4.0));
    let quarters = n.fma(x.constant(E::from_f64(0.25)), round) - round;
    let q = quarters.fnma(four, n);
    let q = q.lt(x.constant(E::from_f64(0.0))).select(q + four, q);
    replace_large(s, x, q, r)
}

/// (q, r) with the elements beyond `SPLIT_MAX` reduced anew.
#[inline(always)]
fn replace_large<S: Simd, E: Constants>(s: S, x: V<S, E>, q: V<S, E>, r: V<S, E>) -> (V<S, E>, V<S, E>) {
    let (mut xs, mut qs, mut rs) = ([E::default(); LONGEST], [E::default(); LONGEST], [E::default(); LONGEST]);
    // SAFETY: no vector is longer than LONGEST.
    unsafe { x.store(xs.as_mut_ptr()) };
    let xs = &xs[..V::<S, E>::LANES];
    if !xs.iter().any(|x| x.to_f64().abs() > E::SPLIT_MAX.to_f64()) {
        return (q, r);
    }
    // SAFETY: as above.
    unsafe {
        q.store(qs.as_mut_ptr());
        r.store(rs.as_mut_ptr());
    }
    for (i, x) in xs.iter().map(|x| x.to_f64()).enumerate() {
        if x.is_infinite() {
            rs[i] = E::NAN;
        } else if x.abs() > E::SPLIT_MAX.to_f64() {
            let (q, r) = reduce_large(x.abs());
            // −x = −q π/2 − r.
            let (q, r) = if x < 0.0 { ((4 - q) & 3, -r) } else { (q, r) };
            qs[i] = E::from_f64(f64::from(q));
            rs[i] = E::from_f64(r);
        }
    }
    // SAFETY: as above.
    unsafe { (V::load(s, qs.as_ptr()), V::load(s, rs.as_ptr())) }
}

/// sin r and cos r for |r| ≤ π/4.
#[inline(always)]
fn sin_cos<S: Simd, E: Constants>(r: V<S, E>) -> (V<S, E>, V<S, E>) {
    let z = r * r;
    let z2 = z * z;
    let sin = (r * z).fma(polynomial(z, z2, E::SIN), r);
    let cos = z.fnma(r.constant(E::from_f64(0.5)), r.constant(E::from_f64(1.0)));
    (sin, z2.fma(polynomial(z, z2, E::COS), cos))
}

/// Whether |q − centre| < 1.
#[inline(always)]
fn near<S: Simd, E: Constants>(q: V<S, E>, centre: f64) -> Mask<S, E> {
    abs(q - q.constant(E::from_f64(centre))).lt(q.constant(E::from_f64(1.0)))
}

/// `value`, or −`value` where the mask holds.
#[inline(always)]
fn negate_where<S: Simd, E: Constants>(mask: Mask<S, E>, value: V<S, E>) -> V<S, E> {
    mask.select(value.xor(value.bits(E::SIGN)), value)
}

/// Whether q is 1 or 3.
#[inline(always)]
fn odd<S: Simd, E: Constants>(q: V<S, E>) -> Mask<S, E> {
    abs(q - q.constant(E::from_f64(2.0))).eq(q.constant(E::from_f64(1.0)))
}

/// sin x; NaN at ±∞.
#[inline(always)]
pub(super) fn sin<S: Simd, E: Constants>(s: S, x: V<S, E>) -> V<S, E> {
    let (q, r) = reduce(s, x);
    let (sin, cos) = sin_cos(r);
    let value = negate_where(near(q, 2.5), odd(q).select(cos, sin));
    abs(x).lt(x.constant(E::SIN_MIN)).select(x, value)
}

/// cos x; NaN at ±∞.
#[inline(always)]
pub(super) fn cos<S: Simd, E: Constants>(s: S, x: V<S, E>) -> V<S, E> {
    let (q, r) = reduce(s, x);
    let (sin, cos) = sin_cos(r);
    negate_where(near(q, 1.5), odd(q).select(sin, cos))
}
