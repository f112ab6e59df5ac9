//! The minimal LSTM (Feng et al. 2024), whose gates see the input alone and share one unit of weight: linear in its state.

use super::{cell, param_if, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The minimal long short-term memory of Feng, Tung, Ahmed, Bengio and Hajimirsadeghi (2024, section 3.2), linear in
    /// its state.
    ///
    /// f = sigmoid(W_f x + b_f)
    /// i = sigmoid(W_i x + b_i)
    /// n = W_h x + b_h
    /// h' = f / (f + i) * h + i / (f + i) * n, y = h'
    ///
    /// Parameters, in the order f, i, h: weight_ih (3H, I), bias (3H,). State: h (H).
    MinLSTM "min_lstm" {
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
    let [w_f, w_i, w_h] = g.param("weight_ih", &[3 * n, i], init).split();
    let [b_f, b_i, b_h] = param_if(o.bias, g, "bias", &[3 * n], init).split();

    // ln(f / i), so that f / (f + i) is its sigmoid: two gates that are both all but closed still share exactly.
    let ratio = (-(x.linear(w_i) + b_i)).softplus() - (-(x.linear(w_f) + b_f)).softplus();
    let next = ratio.sigmoid() * h + (-ratio).sigmoid() * (x.linear(w_h) + b_h);

    g.next(h, next);
    g.output(next);
    Ok(())
}
