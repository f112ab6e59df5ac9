//! The math functions against more precise references: float32 against float64 over all bit patterns in steps, float64
//! against double-double arithmetic; the same bits on every path; special values.
#![allow(clippy::disallowed_methods, reason = "float64's standard functions are what float32 is measured against")]

mod double_double;

use double_double::{
    Dd, Value, cos_reference, exp_reference, ln_reference, power, sigmoid_reference, sin_reference, softplus_reference,
    tanh_reference, ulps_f64,
};
use rnnrs::kernels::{Block, BlockOp, Element, Elementwise, Isa, Operand, scratch_len};

/// Runs one operation over a slice on a path.
fn run<E: Element>(isa: Isa, op: Elementwise, x: &[E]) -> Vec<E> {
    let width = x.len().next_multiple_of(E::PAD);
    let mut input = x.to_vec();
    input.resize(width, E::default());
    let mut out = vec![E::default(); width];
    let operands =
        [Operand { ptr: input.as_mut_ptr(), stride: width }, Operand { ptr: out.as_mut_ptr(), stride: width }];
    let mut scratch = vec![E::default(); scratch_len(0)];
    let ops = [BlockOp { op, dst: 1, a: 0, b: 0, c: 0 }];
    let block = Block { rows: 1, width, ops: &ops, operands: &operands, scratch: scratch.as_mut_ptr(), temporaries: 0 };
    let kernels = E::kernels(isa).expect("a path of this processor");
    // SAFETY: both operands hold `width` elements; alignment is a matter of speed only.
    unsafe { (kernels.block)(&block) };
    out.truncate(x.len());
    out
}

fn best() -> Isa {
    Isa::ALL.into_iter().find(|isa| isa.available()).expect("scalar is always there")
}

/// float32 numbers at equal steps through the bit patterns of both signs.
fn all_f32(step: usize) -> Vec<f32> {
    (0..=u32::MAX).step_by(step).map(f32::from_bits).collect()
}

/// The distance in units of the last place that float32 has at `want`.
fn ulps_f32(got: f32, want: f64) -> f64 {
    if want.is_nan() || (want as f32).is_infinite() || want == 0.0 {
        let same = got.to_bits() == (want as f32).to_bits() || (got.is_nan() && want.is_nan());
        return if same { 0.0 } else { f64::INFINITY };
    }
    let exponent = ((want.abs().to_bits() >> 52) as i64 - 1023).max(-126) - 23;
    (f64::from(got) - want).abs() / f64::from_bits(((exponent + 1023) as u64) << 52)
}

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

fn softplus(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
}

#[test]
fn float32_within_two_units() {
    use Elementwise::{Cos, Exp, Log, Sigmoid, Sin, Softplus, Tanh};
    type Case = (Elementwise, fn(f64) -> f64, fn(f32) -> f32, f64);
    let cases: [Case; 7] = [
        (Exp, f64::exp, Element::exp, 1.01),
        (Log, f64::ln, Element::ln, 0.9),
        (Tanh, f64::tanh, Element::tanh, 1.4),
        (Sigmoid, sigmoid, Element::sigmoid, 1.6),
        (Softplus, softplus, Element::softplus, 1.9),
        (Sin, f64::sin, Element::sin, 1.7),
        (Cos, f64::cos, Element::cos, 1.7),
    ];
    for (op, reference, scalar, bound) in cases {
        let mut worst = (0.0, 0.0);
        for x in all_f32(499).chunks(1 << 16) {
            for (&x, &y) in x.iter().zip(&run(best(), op, x)) {
                let ulps = ulps_f32(y, reference(f64::from(x)));
                if ulps > worst.0 {
                    worst = (ulps, x);
                }
            }
        }
        println!("{op:?}: {:.3} units at {:e}", worst.0, worst.1);
        assert!(worst.0 <= bound, "{op:?}({:e}) is {} units off, more than {bound}", worst.1, worst.0);
        // The functions for single elements are the kernels' own.
        let x = all_f32(1 << 14);
        let same = |(&x, &y): (&f32, &f32)| scalar(x).to_bits() == y.to_bits() || (y.is_nan() && scalar(x).is_nan());
        assert!(x.iter().zip(&run(best(), op, &x)).all(same), "{op:?} of one element");
    }
}

#[test]
fn the_same_bits_on_every_path() {
    let single = all_f32((1 << 14) - 3);
    // The upper words of float64, with lower words made of them.
    let double: Vec<f64> = (0..=u32::MAX)
        .step_by((1 << 14) - 3)
        .map(|word| f64::from_bits(u64::from(word) << 32 | u64::from(word.wrapping_mul(0x9e37_79b9))))
        .collect();
    for &op in Elementwise::ALL.iter().filter(|op| op.arity() == 1) {
        let expected = run(Isa::Scalar, op, &single);
        let expected_double = run(Isa::Scalar, op, &double);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            for (i, (a, b)) in run(isa, op, &single).iter().zip(&expected).enumerate() {
                assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()), "{isa:?} {op:?} {:e}", single[i]);
            }
            for (i, (a, b)) in run(isa, op, &double).iter().zip(&expected_double).enumerate() {
                assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()), "{isa:?} {op:?} {:e}", double[i]);
            }
        }
    }
}

fn special_values<E: Element>() {
    use Elementwise::{Abs, Cos, Exp, Floor, Flush, Log, Neg, Relu, Sigmoid, Sign, Sin, Softplus, Sqrt, Tanh};
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let tiny = E::TINY.to_f64();
    let huge = if E::NAME == "float32" { f64::from(f32::MAX) } else { f64::MAX };
    let least = if E::NAME == "float32" { f64::from(f32::from_bits(1)) } else { f64::from_bits(1) };
    let cases = [
        (Exp, vec![(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (huge, inf), (-huge, 0.0), (least, 1.0)]),
        (Log, vec![(0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf), (-inf, nan), (-least, nan), (-1.0, nan)]),
        (
            Tanh,
            vec![
                (0.0, 0.0),
                (-0.0, -0.0),
                (inf, 1.0),
                (-inf, -1.0),
                (huge, 1.0),
                (-huge, -1.0),
                (least, least),
                (-least, -least),
            ],
        ),
        (Sigmoid, vec![(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0), (huge, 1.0), (-huge, 0.0)]),
        (Softplus, vec![(inf, inf), (-inf, 0.0), (huge, huge), (-huge, 0.0)]),
        (Sin, vec![(0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan), (least, least), (-least, -least)]),
        (Cos, vec![(0.0, 1.0), (-0.0, 1.0), (inf, nan), (-inf, nan), (least, 1.0)]),
        (Sqrt, vec![(0.0, 0.0), (-0.0, -0.0), (4.0, 2.0), (inf, inf), (-1.0, nan)]),
        (Abs, vec![(-0.0, 0.0), (-inf, inf), (-2.5, 2.5)]),
        (Neg, vec![(0.0, -0.0), (-inf, inf), (2.5, -2.5)]),
        (Sign, vec![(0.0, 0.0), (-0.0, -0.0), (least, 1.0), (-least, -1.0), (inf, 1.0), (-inf, -1.0)]),
        (Relu, vec![(0.0, 0.0), (-0.0, 0.0), (-least, 0.0), (3.0, 3.0), (inf, inf), (-inf, 0.0)]),
        (
            Floor,
            vec![
                (0.0, 0.0),
                (-0.0, -0.0),
                (0.5, 0.0),
                (-0.5, -1.0),
                (2.0, 2.0),
                (-2.5, -3.0),
                (huge, huge),
                (inf, inf),
                (-inf, -inf),
                (8_388_607.5, 8_388_607.0),
                (-least, -1.0),
            ],
        ),
        (
            Flush,
            vec![
                (-0.0, 0.0),
                (tiny, tiny),
                (-tiny, -tiny),
                (tiny * 0.75, 0.0),
                (-tiny * 0.75, 0.0),
                (inf, inf),
                (-inf, -inf),
                (1.0, 1.0),
            ],
        ),
    ];
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for (op, values) in &cases {
            for &(x, want) in values.iter().chain(&[(nan, nan), (-nan, nan)]) {
                let got = run(isa, *op, &[E::from_f64(x)])[0].to_f64();
                let same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
                assert!(same, "{} {isa:?} {op:?}({x:e}) = {got:e}, expected {want:e}", E::NAME);
            }
        }
    }
}

#[test]
fn special_values_of_both_types() {
    special_values::<f32>();
    special_values::<f64>();
}

#[test]
fn bounds_and_symmetry() {
    let x = all_f32(997);
    let minus: Vec<f32> = x.iter().map(|x| -x).collect();
    let (tanh, minus_tanh) = (run(best(), Elementwise::Tanh, &x), run(best(), Elementwise::Tanh, &minus));
    for ((x, y), z) in x.iter().zip(&tanh).zip(&minus_tanh).filter(|((x, _), _)| !x.is_nan()) {
        assert!(y.abs() <= 1.0 && *y == -z, "tanh({x:e})");
    }
    for (x, y) in x.iter().zip(&run(best(), Elementwise::Sigmoid, &x)).filter(|(x, _)| !x.is_nan()) {
        assert!((0.0..=1.0).contains(y), "sigmoid({x:e}) = {y:e}");
    }
}

/// Numbers of all exponents between two of them, of both signs, and dense ones in ±range.
fn doubles(exponents: std::ops::Range<i32>, range: f64) -> Vec<f64> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 12
    };
    let wide = exponents.flat_map(|e| [e; 8]).map(|e| power(e) * f64::from_bits(1023 << 52 | next()));
    let mut wide: Vec<f64> = wide.collect();
    wide.extend((0..40_000).map(|_| next() as f64 / power(52) * range));
    wide.iter().flat_map(|&x| [x, -x]).collect()
}

#[test]
fn float64_within_two_units() {
    use Elementwise::{Cos, Exp, Log, Sigmoid, Sin, Softplus, Tanh};
    type Case = (Elementwise, fn(f64) -> Value, Vec<f64>, f64);
    let positive: Vec<f64> = doubles(-1022..1023, 3.0).into_iter().map(f64::abs).filter(|&x| x > 0.0).collect();
    let denormal: Vec<f64> = (0..50).map(|k| f64::from_bits((1u64 << k) + (1u64 << k) / 3)).collect();
    let cases: [Case; 7] = [
        (Exp, exp_reference, doubles(-60..9, 744.0).into_iter().filter(|&x| x < 709.7).collect(), 1.1),
        (Log, ln_reference, [positive, denormal].concat(), 1.1),
        (Tanh, tanh_reference, doubles(-1022..6, 3.0), 1.5),
        (Sigmoid, sigmoid_reference, doubles(-60..9, 744.0), 1.9),
        (Softplus, softplus_reference, doubles(-60..9, 744.0), 2.0),
        (Sin, sin_reference, doubles(-1000..15, 3000.0), 1.8),
        (Cos, cos_reference, doubles(-1000..15, 3000.0), 1.8),
    ];
    for (op, reference, x, bound) in cases {
        let mut worst = (0.0, 0.0);
        for (&x, &y) in x.iter().zip(&run(best(), op, &x)) {
            let ulps = ulps_f64(y, reference(x));
            assert!(!ulps.is_nan(), "{op:?}({x:e})");
            if ulps > worst.0 {
                worst = (ulps, x);
            }
        }
        println!("{op:?}: {:.3} units at {:e}", worst.0, worst.1);
        assert!(worst.0 <= bound, "{op:?}({:e}) is {} units off, more than {bound}", worst.1, worst.0);
    }
}

/// x, sin x and cos x in two parts each, from arithmetic with 400 digits.
const LARGE: [(f64, f64, f64, f64, f64); 25] = [
    (26093.831843197335, -0.2345323958090731, 2.3429244597156473e-18, 0.9721083043139053, 1.1299043652217577e-17),
    (18520.852253581666, -0.9182192102053478, -4.7453288992704717e-17, -0.3960725716454842, 1.3886052277304243e-19),
    (2009013.3699551607, 0.5434120395494193, 4.598459499843003e-17, -0.839466113236705, 1.7697122119085872e-17),
    (1545657.6039200418, 0.29699028198453337, 2.5403862898229602e-17, 0.9548805016371145, -1.0302208876355824e-17),
    (1738165322483.2905, 0.7459757235119503, 4.372885876297458e-17, 0.6659731375444675, -2.2854571743973865e-17),
    (1765375282279.9905, 0.6400779178918676, 1.0079526522234468e-17, 0.7683100019049678, -3.887074216522659e-17),
    (1.719310638631841e16, -0.9350403204866731, 5.049692802526603e-17, 0.35454139259637907, 1.6544947612997477e-17),
    (1.3233669016174418e16, 0.20305674737619672, -6.211290406778431e-18, 0.9791669711264772, -1.8060993011707246e-17),
    (2.860692217221954e19, -0.38922599417512344, 1.2644106303349043e-17, 0.9211422938169688, -2.0004065544533753e-17),
    (2.198379793782166e19, -0.44318028473753707, -2.125525030744515e-17, 0.8964325045534413, 4.052562909313897e-17),
    (2.1767446774260653e30, -0.9563576499585958, -3.283472467859608e-17, 0.2921986402529481, 9.167668179945635e-18),
    (1.953416757769964e30, -0.1495832737450115, -1.1995072275768011e-17, -0.9887491310821592, -2.81376143147453e-17),
    (2.4901624811996734e60, -0.915608778129652, -1.270720730051796e-17, 0.4020703488345362, 2.3134270842108987e-17),
    (2.2451082298732374e60, -0.32025164808267864, -1.0267389526218764e-17, -0.9473325086263683, 2.0042304603471583e-17),
    (3.2564184333118318e100, -0.41030360585227066, -7.625225980708973e-19, 0.9119489848805274, 2.663748533973267e-17),
    (2.15561667437268e100, -0.9948150781600726, -3.2832590848238954e-19, 0.101700345453536, 6.301760553105036e-18),
    (3.769710026540589e150, 0.30026329804177176, -1.6143278833585677e-17, -0.9538563580797048, -5.226923447568634e-17),
    (6.30401178435047e150, -0.8850925890749344, -4.542419284472552e-17, -0.4654149855393886, 1.9334071979729983e-17),
    (7.311257231006198e210, -0.27163171989134205, -1.99959854379124e-17, 0.9624012722086726, 1.8284723333938918e-17),
    (5.339810982299718e210, -0.5600808359688694, -8.165906780032032e-18, -0.8284379621796749, 3.168396355978e-17),
    (1.5022454111005348e271, 0.529210429869012, -1.2779926861200488e-17, 0.848490613335148, -2.8373322007619005e-17),
    (9.800067209329968e270, -0.2543024291216384, -3.413166197002657e-20, -0.9671247461123276, -2.5570240829177365e-18),
    (1.7594897883384394e308, -0.236017284180252, 5.814114275500476e-18, -0.9717488572507704, 1.413652117865273e-17),
    (9.373073754686933e307, -0.23930449810434976, 1.1158773411950662e-17, -0.9709445695749193, -2.3262824134317858e-17),
    (5.319372648326541e255, 1.0, -1.098476220074687e-37, -4.687165924254628e-19, 4.3720557429382733e-36),
];

#[test]
fn large_angles() {
    for (x, sin, sin_low, cos, cos_low) in LARGE {
        for (op, sign, want) in [(Elementwise::Sin, -1.0, Dd(sin, sin_low)), (Elementwise::Cos, 1.0, Dd(cos, cos_low))]
        {
            let y = run(best(), op, &[x, -x]);
            assert!(ulps_f64(y[0], (want, 0)) < 1.6, "{op:?}({x:e}) = {:e}", y[0]);
            assert_eq!(y[1], sign * y[0], "{op:?}(-{x:e})");
        }
    }
}
