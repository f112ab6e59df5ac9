//! The minimal gated unit (Zhou et al. 2016): one gate that both forgets and resets.

use super::{cell, param_if, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The minimal gated unit (Zhou, Wu, Zhang and Zhou 2016, equations 8 to 10).
    ///
    /// f = sigmoid(W_if x + W_hf h + b_f)
    /// n = tanh(W_in x + W_hn (f * h) + b_n)
    /// h' = (1 - f) * h + f * n, y = h'
    ///
    /// Parameters, in the order f, n: weight_ih (2H, I), weight_hh (2H, H), bias (2H,). State: h (H).
    MGU "mgu" {
        input_size: usize,
        hidden_size: usize,
        /// Whether there are biases.
        bias: bool = true,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let [w_if, w_in] = g.param("weight_ih", &[2 * n, i], init).split();
    let [w_hf, w_hn] = g.param("weight_hh", &[2 * n, n], init).split();
    let [b_f, b_n] = param_if(o.bias, g, "bias", &[2 * n], init).split();

    let f = (x.linear(w_if) + h.linear(w_hf) + b_f).sigmoid();
    let candidate = (x.linear(w_in) + (f * h).linear(w_hn) + b_n).tanh();
    let next = h + f * (candidate - h);

    g.next(h, next);
    g.output(next);
    Ok(())
}
