//! Gated recurrent units whose gates do not see the input (Dey and Salem 2017).

use super::{cell, uniform};
use crate::error::{Error, Result};
use crate::graph::Builder;

cell! {
    /// The three simplified gated recurrent units of Dey and Salem (2017), whose gates do not see the input.
    ///
    /// r = sigmoid(W_hr h + b_r), z = sigmoid(W_hz h + b_z)        kind 1: GRU1 (equations 4)
    /// r = sigmoid(W_hr h), z = sigmoid(W_hz h)                    kind 2: GRU2 (equations 5)
    /// r = sigmoid(b_r), z = sigmoid(b_z)                          kind 3: GRU3 (equations 6)
    /// n = tanh(W_in x + W_hn (r * h) + b_n)
    /// h' = (1 - z) * h + z * n, y = h'
    ///
    /// Parameters, in the order r, z, n: weight_ih (H, I) of n alone, weight_hh (3H, H), kind 3 (H, H) of n alone,
    /// bias (3H,), kind 2 (H,) of n alone. State: h (H).
    SimplifiedGRU "simplified_gru" {
        input_size: usize,
        hidden_size: usize,
        /// Which of the three: 1, 2 or 3.
        kind: usize = 1,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    if !(1..=3).contains(&o.kind) {
        return Err(Error::Value(format!("simplified_gru: expected kind 1, 2 or 3, got {}", o.kind)));
    }
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    let (sees_state, biased) = (o.kind != 3, o.kind != 2);
    let own = |name, present: bool, row: &[usize]| {
        let gates = if present { 2 * n } else { 0 };
        let all = g.param(name, &[&[gates + n], row].concat(), init);
        let gate = |k: usize| all.slice(k * n, (k + 1) * n);
        (present.then(|| [gate(0), gate(1)]), all.slice(gates, gates + n))
    };

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let w_in = g.param("weight_ih", &[n, i], init);
    let (w_gates, w_hn) = own("weight_hh", sees_state, &[n]);
    let (b_gates, b_n) = own("bias", biased, &[]);

    let gate = |k: usize| {
        let from_state = w_gates.map(|w| h.linear(w[k]));
        let sum = from_state.into_iter().chain(b_gates.map(|b| b[k])).reduce(|sum, term| sum + term);
        sum.map_or_else(|| g.constant(0.0, &[n]), |z| z.sigmoid())
    };
    let (r, z) = (gate(0), gate(1));
    let candidate = (x.linear(w_in) + (r * h).linear(w_hn) + b_n).tanh();
    let next = h + z * (candidate - h);

    g.next(h, next);
    g.output(next);
    Ok(())
}
