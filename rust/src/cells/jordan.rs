//! Jordan's network (1986): its state is a decaying trace of its own outputs.

use super::{Nonlinearity, cell, fraction, param_if, positive, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The network of Jordan (1986), which sees its own outputs.
    ///
    /// h = f(W_ih x + W_sh s + b_h)
    /// y = g(W_ho h + b_o)
    /// s' = decay * s + y
    ///
    /// Parameters, O the output size: weight_ih (H, I), weight_sh (H, O), weight_ho (O, H), bias_h (H,), bias_o (O,).
    /// State: s (O).
    Jordan "jordan" {
        input_size: usize,
        hidden_size: usize,
        /// Width O of the output and of the state.
        output_size: usize,
        /// How much of the state stays for the next step, at least 0 and below 1.
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
    positive("jordan", "output_size", o.output_size)?;
    fraction("jordan", "decay", o.decay)?;
    let (i, n, out, init) = (o.input_size, o.hidden_size, o.output_size, uniform(o.hidden_size));

    let x = g.input("x", &[i]);
    let s = g.state("s", &[out]);
    let (w_ih, w_sh) = (g.param("weight_ih", &[n, i], init), g.param("weight_sh", &[n, out], init));
    let w_ho = g.param("weight_ho", &[out, n], init);
    let (b_h, b_o) = (param_if(o.bias, g, "bias_h", &[n], init), param_if(o.bias, g, "bias_o", &[out], init));

    let h = o.nonlinearity.of(x.linear(w_ih) + s.linear(w_sh) + b_h);
    let y = o.output_nonlinearity.of(h.linear(w_ho) + b_o);

    // Written out for decay = 0 too: the state may be held back by zoneout, the output of the step is y.
    g.next(s, o.decay * s + y);
    g.output(y);
    Ok(())
}
