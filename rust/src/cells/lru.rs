//! The linear recurrent unit (Orvieto et al. 2023): a diagonal complex recurrence without nonlinearity.

use super::{cell, positive};
use crate::error::{Error, Result};
use crate::graph::{Builder, Init};

cell! {
    /// The linear recurrent unit (Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu and De 2023, section 3 and appendix A):
    /// complex units, each with an eigenvalue lambda of its own.
    ///
    /// lambda = exp(-exp(nu_log) + i exp(theta_log))
    /// gamma = exp(gamma_log) * sqrt(1 - |lambda|^2)
    /// h' = lambda * h + gamma * (B x), h = re + i im
    /// y = Re(C h') + D x
    ///
    /// Parameters, O the output size: nu_log, theta_log, gamma_log (H,), B_re, B_im (H, I), C_re, C_im (O, H), D (O,),
    /// element by element, where O = I, and (O, I) otherwise. At the start lambda is uniform on the ring between r_min and
    /// r_max, up to max_phase; gamma_log is 0, and the others are normal: B with deviation 1/sqrt(2 I), C 1/sqrt(H), D 1 or
    /// 1/sqrt(I). State: re (H) and im (H).
    LRU "lru" {
        input_size: usize,
        hidden_size: usize,
        /// The least |lambda| at the start.
        r_min: f64 = 0.0,
        /// The greatest |lambda| at the start, at most 1.
        r_max: f64 = 1.0,
        /// The greatest phase of lambda at the start, in radians, at most 2 pi.
        max_phase: f64 = std::f64::consts::TAU,
        /// Width O of the output; None: that of the input.
        output_size: Option<usize> = None::<usize>,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n) = (o.input_size, o.hidden_size);
    let out = o.output_size.unwrap_or(i);
    positive("lru", "output_size", out)?;
    if !(0.0 <= o.r_min && o.r_min < o.r_max && o.r_max <= 1.0) {
        return Err(Error::Value(format!("lru: expected 0 <= r_min < r_max <= 1, got {} and {}", o.r_min, o.r_max)));
    }
    if !(0.0 < o.max_phase && o.max_phase <= std::f64::consts::TAU) {
        return Err(Error::Value(format!("lru: expected max_phase above 0 and at most 2 pi, got {}", o.max_phase)));
    }
    let normal = |fan_in: f64| Init::Normal(1.0 / fan_in.sqrt());

    let x = g.input("x", &[i]);
    let (re, im) = (g.state("re", &[n]), g.state("im", &[n]));
    let size = (-g.param("nu_log", &[n], Init::Ring { from: o.r_min, to: o.r_max }).exp()).exp();
    let phase = g.param("theta_log", &[n], Init::LogUniform { to: o.max_phase }).exp();
    let gamma = g.param("gamma_log", &[n], Init::Constant(0.0)).exp() * (1.0 - size * size).sqrt();
    let [b_re, b_im] = ["B_re", "B_im"].map(|name| g.param(name, &[n, i], normal(2.0 * i as f64)));
    let [c_re, c_im] = ["C_re", "C_im"].map(|name| g.param(name, &[out, n], normal(n as f64)));
    let through = if out == i {
        g.param("D", &[out], normal(1.0)) * x
    } else {
        x.linear(g.param("D", &[out, i], normal(i as f64)))
    };

    let (lambda_re, lambda_im) = (size * phase.cos(), size * phase.sin());
    let next_re = lambda_re * re - lambda_im * im + gamma * x.linear(b_re);
    let next_im = lambda_re * im + lambda_im * re + gamma * x.linear(b_im);

    g.next(re, next_re);
    g.next(im, next_im);
    g.output(next_re.linear(c_re) + (-next_im).linear(c_im) + through);
    Ok(())
}
