//! The continuous-time network (Funahashi and Nakamura 1993), integrated by Euler or Runge-Kutta.

use super::{Nonlinearity, cell, count, param_if, positive_number, uniform};
use crate::error::{Error, Result};
use crate::graph::{Builder, Init};
use crate::kernels::Element;
use serde::{Deserialize, Serialize};

cell! {
    /// The continuous-time recurrent network (Funahashi and Nakamura 1993, equation 1), integrated over dt with x held:
    ///
    /// tau du/dt = -u + W_ih x + b + W_hh f(u)
    /// y = f(u')
    ///
    /// Each of the equal substeps of length d = dt / substeps is one of Euler's,
    ///
    /// u + d / tau * (-u + W_ih x + b + W_hh f(u))
    ///
    /// or one of the classical method of Runge and Kutta of order 4. Time has the unit of tau.
    ///
    /// Parameters, J = I, or I - 1 with timestamps: weight_ih (H, J), weight_hh (H, H), bias (H,); with
    /// learn_time_constants log_tau (H,), tau = exp(log_tau). State: h (H), which holds u.
    CTRNN "ctrnn" {
        input_size: usize,
        hidden_size: usize,
        /// f: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Tanh,
        /// "euler" or "rk4".
        method: Method = Method::Euler,
        /// How much time a step takes.
        dt: f64 = 1.0,
        /// In how many parts a step is integrated.
        substeps: usize = 1,
        /// tau, or where it starts.
        time_constant: f64 = 1.0,
        /// Whether each unit learns its own tau.
        learn_time_constants: bool = false,
        /// Whether the last feature of x is the time since the step before, at least 0, in units of dt: it then takes the
        /// place of dt (multiplied by it). A stack cannot have it: time would not reach the layers above.
        timestamps: bool = false,
        /// Whether there is a bias.
        bias: bool = true,
    }
}

/// How the equation is integrated.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    Euler,
    Rk4,
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    positive_number("ctrnn", "dt", o.dt)?;
    positive_number("ctrnn", "time_constant", o.time_constant)?;
    count("ctrnn", "substeps", o.substeps, 256)?;
    if o.timestamps && o.input_size == 1 {
        return Err(Error::Value("ctrnn: expected input_size at least 2 with timestamps=true, got 1".into()));
    }
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    let seen = if o.timestamps { i - 1 } else { i };

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let (w_ih, w_hh) = (g.param("weight_ih", &[n, seen], init), g.param("weight_hh", &[n, n], init));
    let bias = param_if(o.bias, g, "bias", &[n], init);
    // d / tau, for each unit.
    let part = o.dt / o.substeps as f64;
    let mut step = if o.learn_time_constants {
        part * (-g.param("log_tau", &[n], Init::Constant(Element::ln(o.time_constant)))).exp()
    } else {
        g.constant(part / o.time_constant, &[n])
    };
    if o.timestamps {
        step = x.slice(seen, i).sum() * step;
    }

    let features = if o.timestamps { x.slice(0, seen) } else { x };
    let drive = features.linear(w_ih) + bias;
    let slope = |u| drive + o.nonlinearity.of(u).linear(w_hh) - u;
    let mut u = h;
    for _ in 0..o.substeps {
        u = match o.method {
            Method::Euler => u + step * slope(u),
            Method::Rk4 => {
                let k1 = slope(u);
                let k2 = slope(u + 0.5 * step * k1);
                let k3 = slope(u + 0.5 * step * k2);
                let k4 = slope(u + step * k3);
                u + step * ((k1 + 2.0 * (k2 + k3) + k4) * (1.0 / 6.0))
            }
        };
    }

    g.next(h, u);
    g.output(o.nonlinearity.of(u));
    Ok(())
}
