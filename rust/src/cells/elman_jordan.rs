//! Elman's and Jordan's network in one: it sees its own hidden units and a decaying trace of its own outputs.

use super::{Nonlinearity, cell, fraction, param_if, positive, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The networks of Elman (1990) and Jordan (1986) mixed: it sees its hidden units and its outputs.
    ///
    /// h' = f(W_ih x + W_hh h + W_sh s + b_h)
    /// y = g(W_ho h' + b_o)
    /// s' = decay * s + y
    ///
    /// Parameters, O the output size: weight_ih (H, I), weight_hh (H, H), weight_sh (H, O), weight_ho (O, H),
    /// bias_h (H,), bias_o (O,). State: h (H) and s (O).
    ElmanJordan "elman_jordan" {
        input_size: usize,
        hidden_size: usize,
        /// Width O of the output and of the state s.
        output_size: usize,
        /// How much of s stays for the next step, at least 0 and below 1.
        decay: f64 = 0.0,
        /// f: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Tanh,
        /// g, of the same.
        output_nonlinearity: Nonlinearity = Nonlinearity::Sigmoid,
        /// Whether there are biases.
        bias: bool = true,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    positive("elman_jordan", "output_size", o.output_size)?;
    fraction("elman_jordan", "decay", o.decay)?;
    let (i, n, out, init) = (o.input_size, o.hidden_size, o.output_size, uniform(o.hidden_size));

    let x = g.input("x", &[i]);
    let (h, s) = (g.state("h", &[n]), g.state("s", &[out]));
    let (w_ih, w_hh) = (g.param("weight_ih", &[n, i], init), g.param("weight_hh", &[n, n], init));
    let (w_sh, w_ho) = (g.param("weight_sh", &[n, out], init), g.param("weight_ho", &[out, n], init));
    let (b_h, b_o) = (param_if(o.bias, g, "bias_h", &[n], init), param_if(o.bias, g, "bias_o", &[out], init));

    let next = o.nonlinearity.of(x.linear(w_ih) + h.linear(w_hh) + s.linear(w_sh) + b_h);
    let y = o.output_nonlinearity.of(next.linear(w_ho) + b_o);

    g.next(h, next);
    // Written out for decay = 0 too: the state may be held back by zoneout, the output of the step is y.
    g.next(s, o.decay * s + y);
    g.output(y);
    Ok(())
}
