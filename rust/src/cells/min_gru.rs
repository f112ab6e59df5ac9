//! The minimal GRU (Feng et al. 2024), whose gate sees the input alone: linear in its state.

use super::{cell, param_if, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The minimal gated recurrent unit of Feng, Tung, Ahmed, Bengio and Hajimirsadeghi (2024, section 3.1), linear in
    /// its state.
    ///
    /// z = sigmoid(W_z x + b_z)
    /// n = W_h x + b_h
    /// h' = (1 - z) * h + z * n, y = h'
    ///
    /// Parameters, in the order z, h: weight_ih (2H, I), bias (2H,). State: h (H).
    MinGRU "min_gru" {
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
    let [w_z, w_h] = g.param("weight_ih", &[2 * n, i], init).split();
    let [b_z, b_h] = param_if(o.bias, g, "bias", &[2 * n], init).split();

    let z = (x.linear(w_z) + b_z).sigmoid();
    let next = (1.0 - z) * h + z * (x.linear(w_h) + b_h);

    g.next(h, next);
    g.output(next);
    Ok(())
}
