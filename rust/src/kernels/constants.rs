//! What the math functions need to know of an element type: polynomials, split constants, and how its bits lie.
//!
//! The polynomials interpolate at Chebyshev nodes, which is within a few per cent of the best; the errors given are
//! those of the function they approximate before rounding, in units of its last place.

use super::simd::Lanes;

/// The constants of one element type. Bits are those of the type's integer of the same size.
pub(super) trait Constants: Lanes {
    /// The sign bit.
    const SIGN: Self::Bits;
    /// All but the sign bit.
    const MAGNITUDE: Self::Bits;
    /// The bits of the exponent and the sign.
    const EXPONENT: Self::Bits;
    /// The bits of the significand.
    const SIGNIFICAND: Self::Bits;
    /// The bits of 1.
    const ONE: Self::Bits;
    /// The bits of √½, where `log` cuts its octaves.
    const SQRT_HALF: Self::Bits;
    /// Where the exponent begins in the upper (or only) 32-bit word.
    const SHIFT: u32;
    /// 1.5 × 2^(significand bits): x + ROUND − ROUND is x rounded to an integer, ties to even.
    const ROUND: Self;
    /// 1.5 × 2^SHIFT: n + INDEX holds the integer n in the low bits of its upper word.
    const INDEX: Self;
    /// 2^SHIFT: the bits of 2^SHIFT + n, for 0 ≤ n < 2^SHIFT, hold n in the low bits of its upper word.
    const COUNT: Self::Bits;
    /// 2^SHIFT + the bias of the exponent.
    const COUNT_BIAS: Self;
    /// From this on every number is an integer.
    const INTEGERS: Self;
    const INFINITY: Self;
    const NAN: Self;
    /// The least normal number, a power of two that makes every denormal normal, and that power.
    const NORMAL: Self;
    const RAISE: Self;
    const RAISED: Self;

    const LOG2_E: Self;
    /// ln 2 = LN2_HI + LN2_LO; LN2_HI times any exponent is exact.
    const LN2_HI: Self;
    const LN2_LO: Self;
    /// Below EXP_MIN exp is 0, above EXP_MAX infinite.
    const EXP_MIN: Self;
    const EXP_MAX: Self;
    /// Above it sigmoid is 1.
    const SIGMOID_MAX: Self;
    /// The bits of a power of two c with c exp(−EXP_MIN) and c exp(−SIGMOID_MAX) normal.
    const SIGMOID_SCALE: Self::Bits;
    /// Above it tanh is 1.
    const TANH_MAX: Self;
    /// Up to it tanh is a polynomial: 0.55.
    const TANH_SMALL: Self;
    /// (eˣ − 1 − x) / x² on |x| ≤ ½ ln 2. Error below 0.02.
    const EXP: &'static [Self];
    /// (tanh √z − √z) / z^(3/2) on √z ≤ 0.55. Error below 0.1.
    const TANH: &'static [Self];
    /// (2 artanh √z − 2 √z) / z^(3/2) on √z ≤ (√2 − 1) / (√2 + 1), for log. Error below 0.1.
    const LOG: &'static [Self];
    /// The same on √z ≤ 1/3, for log(1 + x) with x in 0..1. Error below 0.1.
    const LOG1P: &'static [Self];
    /// (sin √z − √z) / z^(3/2) on √z ≤ π/4. Error below 0.2.
    const SIN: &'static [Self];
    /// (cos √z − 1 + z/2) / z² on √z ≤ π/4. Error below 0.02.
    const COS: &'static [Self];
    const TWO_OVER_PI: Self;
    /// π/2 as a sum. A multiple of a part but the last, by an integer below `SPLIT_MAX`, is exact.
    const HALF_PI: &'static [Self];
    /// Arguments of sin and cos up to this are reduced by HALF_PI.
    const SPLIT_MAX: Self;
    /// Below it sin x is x.
    const SIN_MIN: Self;
}

impl Constants for f32 {
    const SIGN: u32 = 0x8000_0000;
    const MAGNITUDE: u32 = 0x7fff_ffff;
    const EXPONENT: u32 = 0xff80_0000;
    const SIGNIFICAND: u32 = 0x007f_ffff;
    const ONE: u32 = 0x3f80_0000;
    const SQRT_HALF: u32 = 0x3f35_04f3;
    const SHIFT: u32 = 23;
    const ROUND: f32 = 12_582_912.0;
    const INDEX: f32 = 12_582_912.0;
    const COUNT: u32 = 0x4b00_0000;
    const COUNT_BIAS: f32 = 8_388_735.0;
    const INTEGERS: f32 = 8_388_608.0;
    const INFINITY: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    const NORMAL: f32 = f32::MIN_POSITIVE;
    const RAISE: f32 = 16_777_216.0;
    const RAISED: f32 = 24.0;

    const LOG2_E: f32 = core::f32::consts::LOG2_E;
    const LN2_HI: f32 = 0.69314575;
    const LN2_LO: f32 = 1.4286068e-06;
    const EXP_MIN: f32 = -104.0;
    const EXP_MAX: f32 = 89.0;
    const SIGMOID_MAX: f32 = 20.0;
    const SIGMOID_SCALE: u32 = (127 - 64) << 23;
    const TANH_MAX: f32 = 10.0;
    const TANH_SMALL: f32 = 0.55;
    const TANH: &'static [f32] = &[-0.3333333, 0.13333113, -0.053909376, 0.021309063, -0.006609614];
    const EXP: &'static [f32] = &[0.5, 0.16666667, 0.041666463, 0.0083333105, 0.0013933881, 0.00019891247];
    const LOG: &'static [f32] = &[0.66666687, 0.3998876, 0.29580986];
    const LOG1P: &'static [f32] = &[0.6666667, 0.39999706, 0.28592357, 0.21706575, 0.2322433];
    const SIN: &'static [f32] = &[-0.16666664, 0.008332746, -0.00019587387];
    const COS: &'static [f32] = &[0.041666664, -0.00138883, 2.4547437e-05];
    const TWO_OVER_PI: f32 = core::f32::consts::FRAC_2_PI;
    const HALF_PI: &'static [f32] = &[1.5703125, 0.0004837513, 7.5495336e-08, 2.563344e-12];
    const SPLIT_MAX: f32 = 256.0;
    const SIN_MIN: f32 = 2.4414062e-4;
}

impl Constants for f64 {
    const SIGN: u64 = 0x8000_0000_0000_0000;
    const MAGNITUDE: u64 = 0x7fff_ffff_ffff_ffff;
    const EXPONENT: u64 = 0xfff0_0000_0000_0000;
    const SIGNIFICAND: u64 = 0x000f_ffff_ffff_ffff;
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const SHIFT: u32 = 20;
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const INDEX: f64 = 1_572_864.0;
    const COUNT: u64 = 0x4130_0000_0000_0000;
    const COUNT_BIAS: f64 = 1_049_599.0;
    const INTEGERS: f64 = 4_503_599_627_370_496.0;
    const INFINITY: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    const NORMAL: f64 = f64::MIN_POSITIVE;
    const RAISE: f64 = 18_014_398_509_481_984.0;
    const RAISED: f64 = 54.0;

    const LOG2_E: f64 = core::f64::consts::LOG2_E;
    const LN2_HI: f64 = 0.6931471805598903;
    const LN2_LO: f64 = 5.497923018708371e-14;
    const EXP_MIN: f64 = -746.0;
    const EXP_MAX: f64 = 710.0;
    const SIGMOID_MAX: f64 = 40.0;
    const SIGMOID_SCALE: u64 = (1023 - 600) << 52;
    const TANH_MAX: f64 = 20.0;
    const TANH_SMALL: f64 = 0.55;
    const TANH: &'static [f64] = &[
        -0.3333333333333333,
        0.13333333333332714,
        -0.05396825396743174,
        0.021869488493563037,
        -0.008863234395418095,
        0.003592110347096177,
        -0.0014556615775702365,
        0.0005889348072447028,
        -0.00023463104528300406,
        8.510707927354112e-05,
        -2.0598556673275166e-05,
    ];
    const EXP: &'static [f64] = &[
        0.5,
        0.1666666666666667,
        0.04166666666666667,
        0.008333333333325985,
        0.0013888888888883642,
        0.00019841269875342141,
        2.4801587325920163e-05,
        2.7557254740405416e-06,
        2.7557273171941026e-07,
        2.5105490906986696e-08,
        2.091488256348507e-09,
    ];
    const LOG: &'static [f64] = &[
        0.666666666666667,
        0.3999999999989889,
        0.28571428626253836,
        0.22222211089379496,
        0.1818289243253687,
        0.15331611722055008,
        0.14617807153417325,
    ];
    const LOG1P: &'static [f64] = &[
        0.6666666666666666,
        0.40000000000014585,
        0.2857142856710876,
        0.22222222717427864,
        0.18181789436132859,
        0.15385570064958623,
        0.13314144209654935,
        0.12001072809590713,
        0.08800738486144674,
        0.1616404561194353,
    ];
    const SIN: &'static [f64] = &[
        -0.16666666666666666,
        0.008333333333330925,
        -0.00019841269836722437,
        2.755731608382574e-06,
        -2.505112794596564e-08,
        1.591784866512194e-10,
    ];
    const COS: &'static [f64] = &[
        0.041666666666666664,
        -0.0013888888888887382,
        2.480158729874308e-05,
        -2.755731726001471e-07,
        2.0876143829213935e-09,
        -1.1382456865840483e-11,
    ];
    const TWO_OVER_PI: f64 = core::f64::consts::FRAC_2_PI;
    const HALF_PI: &'static [f64] = &[1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21];
    const SPLIT_MAX: f64 = 4096.0;
    const SIN_MIN: f64 = 7.450580596923828e-09;
}
