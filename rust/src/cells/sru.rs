//! The simple recurrent unit (Lei et al. 2018): gates beside the recurrence and a highway around it.

use super::{Nonlinearity, cell, param_if, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The simple recurrent unit (Lei, Zhang, Wang, Dai and Artzi 2018, equations 1 to 4; its first version of 2017
    /// without state_gates).
    ///
    /// f = sigmoid(W_f x + b_f + v_f * c)                       v_f * c and v_r * c with state_gates
    /// r = sigmoid(W_r x + b_r + v_r * c)
    /// c' = f * c + (1 - f) * (W x)
    /// y = r * g(c') + (1 - r) * s                              s = x where I = H, W_s x otherwise
    ///
    /// Parameters: weight_ih (3H, I) in the order W, W_f, W_r, with W_s behind them (4H, I) where I is not H; bias (2H,)
    /// in the order f, r; with state_gates weight_c (2H,) in the order v_f, v_r. State: c (H).
    SRU "sru" {
        input_size: usize,
        hidden_size: usize,
        /// Whether the gates see the state.
        state_gates: bool = false,
        /// g: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Identity,
        /// Whether there are biases.
        bias: bool = true,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    let rows = if i == n { 3 } else { 4 };

    let x = g.input("x", &[i]);
    let c = g.state("c", &[n]);
    let weight = g.param("weight_ih", &[rows * n, i], init);
    let product = |k: usize| x.linear(weight.slice(k * n, (k + 1) * n));
    let [b_f, b_r] = param_if(o.bias, g, "bias", &[2 * n], init).split();
    let [v_f, v_r] = param_if(o.state_gates, g, "weight_c", &[2 * n], init).split();
    let seeing = |v| if o.state_gates { v * c } else { g.constant(0.0, &[n]) };

    let f = (product(1) + b_f + seeing(v_f)).sigmoid();
    let r = (product(2) + b_r + seeing(v_r)).sigmoid();
    let next = f * c + (1.0 - f) * product(0);
    let skipped = if i == n { x } else { product(3) };

    g.next(c, next);
    g.output(r * o.nonlinearity.of(next) + (1.0 - r) * skipped);
    Ok(())
}
