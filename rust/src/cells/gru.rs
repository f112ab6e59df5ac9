//! The gated recurrent unit (Cho et al. 2014), its reset gate before or after the matrix product.

use super::{cell, param_if, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The gated recurrent unit (Cho et al. 2014).
    ///
    /// r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    /// z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    /// n = tanh(W_in x + b_in + r * (W_hn h + b_hn))        with reset_after, as torch.nn.GRU
    /// n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)        without, as in the paper's first version (eq. 8)
    /// h' = (1 - z) * n + z * h, y = h'
    ///
    /// Parameters, in the order r, z, n: weight_ih (3H, I), weight_hh (3H, H), bias_ih (3H,), bias_hh (3H,). State: h (H).
    GRU "gru" {
        input_size: usize,
        hidden_size: usize,
        /// Whether the reset gate comes after the matrix product.
        reset_after: bool = true,
        /// Whether there are biases.
        bias: bool = true,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let [w_ir, w_iz, w_in] = g.param("weight_ih", &[3 * n, i], init).split();
    let [w_hr, w_hz, w_hn] = g.param("weight_hh", &[3 * n, n], init).split();
    let [b_ir, b_iz, b_in] = param_if(o.bias, g, "bias_ih", &[3 * n], init).split();
    let [b_hr, b_hz, b_hn] = param_if(o.bias, g, "bias_hh", &[3 * n], init).split();

    let r = (x.linear(w_ir) + b_ir + h.linear(w_hr) + b_hr).sigmoid();
    let z = (x.linear(w_iz) + b_iz + h.linear(w_hz) + b_hz).sigmoid();
    let candidate = if o.reset_after {
        (x.linear(w_in) + b_in + r * (h.linear(w_hn) + b_hn)).tanh()
    } else {
        (x.linear(w_in) + b_in + (r * h).linear(w_hn) + b_hn).tanh()
    };
    let next = candidate + z * (h - candidate);

    g.next(h, next);
    g.output(next);
    Ok(())
}
