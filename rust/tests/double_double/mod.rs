//! The math functions in double-double arithmetic, about 31 digits: what float64 is measured against.

/// A number as an unevaluated sum of two float64, about 31 digits.
#[derive(Clone, Copy)]
pub(crate) struct Dd(pub(crate) f64, pub(crate) f64);

impl Dd {
    const LN2: Dd = Dd(std::f64::consts::LN_2, 2.3190468138462996e-17);

    fn sum(a: f64, b: f64) -> Dd {
        let s = a + b;
        let t = s - a;
        Dd(s, (a - (s - t)) + (b - t))
    }
    fn product(a: f64, b: f64) -> Dd {
        Dd(a * b, a.mul_add(b, -(a * b)))
    }
    fn add(self, b: Dd) -> Dd {
        let Dd(s, e) = Dd::sum(self.0, b.0);
        let Dd(t, f) = Dd::sum(self.1, b.1);
        let Dd(s, e) = Dd::sum(s, e + t);
        Dd::sum(s, e + f)
    }
    fn neg(self) -> Dd {
        Dd(-self.0, -self.1)
    }
    fn sub(self, b: Dd) -> Dd {
        self.add(b.neg())
    }
    fn mul(self, b: Dd) -> Dd {
        let Dd(p, e) = Dd::product(self.0, b.0);
        Dd::sum(p, e + self.0.mul_add(b.1, self.1 * b.0))
    }
    fn div(self, b: Dd) -> Dd {
        let q = self.0 / b.0;
        let r = self.sub(b.mul(Dd(q, 0.0)));
        let q2 = r.0 / b.0;
        let r = r.sub(b.mul(Dd(q2, 0.0)));
        Dd::sum(q, q2).add(Dd(r.0 / b.0, 0.0))
    }
    fn scale(self, s: f64) -> Dd {
        Dd(self.0 * s, self.1 * s)
    }

    /// eˣ as (m, n) with value m 2ⁿ.
    fn exp(self) -> (Dd, i32) {
        let n = (self.0 / Dd::LN2.0).round();
        let r = self.sub(Dd::LN2.mul(Dd(n, 0.0))).sub(Dd(n * 5.707708438416212e-34, 0.0)).scale(1.0 / 256.0);
        let mut sum = Dd(1.0, 0.0);
        for k in (1..=12).rev() {
            sum = Dd(1.0, 0.0).add(r.mul(sum).div(Dd(f64::from(k), 0.0)));
        }
        for _ in 0..8 {
            sum = sum.mul(sum);
        }
        (sum, n as i32)
    }

    /// ln of a number near 1..2, by one step of Newton's method.
    fn ln(self) -> Dd {
        let y = Dd(self.0.ln(), 0.0);
        let (e, n) = y.exp();
        let e = e.scale(power(n));
        y.add(self.sub(e).scale(2.0).div(self.add(e)))
    }
}

/// 2ⁿ for a normal result.
pub(crate) fn power(n: i32) -> f64 {
    f64::from_bits(((i64::from(n) + 1023) as u64) << 52)
}

/// A reference value m 2ⁿ.
pub(crate) type Value = (Dd, i32);

pub(crate) fn exp_reference(x: f64) -> Value {
    Dd(x, 0.0).exp()
}

pub(crate) fn ln_reference(x: f64) -> Value {
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * power(54), 54) } else { (x, 0) };
    let n = (x.to_bits() >> 52) as i32 - 1023;
    let m = x * power(-n / 2) * power(-(n - n / 2));
    // Near 1 from below the significand is close to 2; take it to 1 lest the sum cancel.
    let (m, n) = if m > 1.5 { (m * 0.5, n + 1) } else { (m, n) };
    let ln = if (m - 1.0).abs() < 1e-9 && n == shift {
        let f = Dd(m - 1.0, 0.0);
        f.sub(f.mul(f).scale(0.5)).add(f.mul(f).mul(f).div(Dd(3.0, 0.0)))
    } else {
        Dd(m, 0.0).ln().add(Dd::LN2.mul(Dd(f64::from(n - shift), 0.0)))
    };
    (ln, 0)
}

pub(crate) fn tanh_reference(x: f64) -> Value {
    let a = Dd(x.abs(), 0.0);
    let t = if a.0 < 1e-5 {
        a.sub(a.mul(a).mul(a).div(Dd(3.0, 0.0)))
    } else if a.0 > 40.0 {
        Dd(1.0, 0.0)
    } else {
        let (e, n) = a.scale(2.0).exp();
        let e = e.scale(power(n));
        e.sub(Dd(1.0, 0.0)).div(e.add(Dd(1.0, 0.0)))
    };
    (if x < 0.0 { t.neg() } else { t }, 0)
}

pub(crate) fn sigmoid_reference(x: f64) -> Value {
    let (e, n) = Dd(-x.abs(), 0.0).exp();
    let one = Dd(1.0, 0.0);
    let small = if n < -1000 { Dd(0.0, 0.0) } else { e.scale(power(n)) };
    if x < 0.0 { (e.div(one.add(small)), n) } else { (one.div(one.add(small)), 0) }
}

pub(crate) fn softplus_reference(x: f64) -> Value {
    let (e, n) = Dd(-x.abs(), 0.0).exp();
    if n < -900 {
        return if x > 0.0 { (Dd(x, 0.0), 0) } else { (e, n) };
    }
    let e = e.scale(power(n));
    let log = if e.0 < 1e-10 {
        e.sub(e.mul(e).scale(0.5)).add(e.mul(e).mul(e).div(Dd(3.0, 0.0)))
    } else {
        Dd(1.0, 0.0).add(e).ln()
    };
    (log.add(Dd(x.max(0.0), 0.0)), 0)
}

pub(crate) fn sin_cos_reference(x: f64) -> (Value, Value) {
    let q = (x * std::f64::consts::FRAC_2_PI).round();
    let r = [std::f64::consts::FRAC_PI_2, 6.123233995736766e-17, -1.4973849048591698e-33]
        .iter()
        .fold(Dd(x, 0.0), |r, &part| r.sub(Dd::product(q, part)));
    let z = r.mul(r);
    let series = |first: i32| {
        let mut sum = Dd(1.0, 0.0);
        for k in (first..first + 28).step_by(2).rev() {
            sum = Dd(1.0, 0.0).sub(z.mul(sum).div(Dd(f64::from(k * (k + 1)), 0.0)));
        }
        sum
    };
    let (sin, cos) = (r.mul(series(2)), series(1));
    let (sin, cos) = match q.rem_euclid(4.0) as u8 {
        0 => (sin, cos),
        1 => (cos, sin.neg()),
        2 => (sin.neg(), cos.neg()),
        _ => (cos.neg(), sin),
    };
    ((sin, 0), (cos, 0))
}

pub(crate) fn sin_reference(x: f64) -> Value {
    sin_cos_reference(x).0
}

pub(crate) fn cos_reference(x: f64) -> Value {
    sin_cos_reference(x).1
}

/// The distance in units of the last place that float64 has at `got`.
pub(crate) fn ulps_f64(got: f64, (want, n): Value) -> f64 {
    let exponent = ((got.abs().to_bits() >> 52) as i32 - 1023).max(-1022);
    // Both divided by 2^exponent, in two steps each lest a factor leave the range.
    let parts = |x: f64, n: i32| x * power(n / 2) * power(n - n / 2);
    let got = parts(got, -exponent);
    let want = Dd(parts(want.0, n - exponent), parts(want.1, n - exponent));
    Dd(got, 0.0).sub(want).0.abs() * power(52)
}
