//! The gated feedback network (Chung et al. 2015): every layer sees all layers of the step before, through global gates.

use super::{cell, count, uniform};
use crate::error::Result;
use crate::graph::{Builder, Value};
use serde::{Deserialize, Serialize};

cell! {
    /// The gated feedback recurrent network (Chung, Gulcehre, Cho and Bengio 2015, equations 9 to 14): layers j = 0 to
    /// n - 1, each of which sees all layers i at the step before, through one gate for each pair.
    ///
    /// g_ij = sigmoid(w_ij . below + u_ij . (h_0, ..., h_(n-1))), below = h_(j-1)', or x for the first layer
    /// r_j = sum over i of g_ij U_ij h_i
    ///
    /// unit "tanh":
    /// h_j' = tanh(W below + r_j + b)
    ///
    /// unit "gru":
    /// r, z = sigmoid(W below + U h_j + b)
    /// h_j' = (1 - z) * h_j + z * tanh(W_n below + r * r_j + b_n)
    ///
    /// unit "lstm":
    /// i, f, o = sigmoid(W below + U h_j + b)
    /// c_j' = f * c_j + i * tanh(W_g below + r_j + b_g), h_j' = o * tanh(c_j')
    ///
    /// y = h_(n-1)'
    ///
    /// Parameters of each layer j, B the width of below, K = 1 ("tanh"), 3 ("gru": r, z, n) or 4 ("lstm": i, f, g, o):
    /// weight_ih_j (KH, B), weight_hh_j ("gru": 2H, H in the order r, z; "lstm": 3H, H in the order i, f, o),
    /// bias_j (KH,), weight_gx_j (n, B) and weight_gh_j (n, nH) with row i for w_ij and u_ij, weight_fb_j (nH, H) with
    /// rows iH to (i+1)H for U_ij. State: h0 (H), h1 (H), ...; with "lstm" h0, c0, h1, c1, ...
    GatedFeedback "gated_feedback" {
        input_size: usize,
        hidden_size: usize,
        /// What a layer is made of: "tanh", "gru" or "lstm".
        unit: Unit = Unit::Lstm,
        /// How many layers n.
        num_hidden: usize = 2,
    }
}

/// What a layer is made of.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Tanh,
    Gru,
    Lstm,
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    count("gated_feedback", "num_hidden", o.num_hidden, 64)?;
    let (n, layers, init) = (o.hidden_size, o.num_hidden, uniform(o.hidden_size));
    // Parts of a layer's pre-activation, and how many of them see its own state alone.
    let (parts, own) = match o.unit {
        Unit::Tanh => (1, 0),
        Unit::Gru => (3, 2),
        Unit::Lstm => (4, 3),
    };

    let mut below = g.input("x", &[o.input_size]);
    let states = (0..layers).map(|j| {
        let h = g.state(&format!("h{j}"), &[n]);
        (h, (o.unit == Unit::Lstm).then(|| g.state(&format!("c{j}"), &[n])))
    });
    let states: Vec<_> = states.collect();
    let before: Vec<Value<'_>> = states.iter().map(|s| s.0).collect();
    for (j, &(h, c)) in states.iter().enumerate() {
        let param = |name: &str, rows: usize, columns: usize| g.param(&format!("{name}_{j}"), &[rows, columns], init);
        let weight = param("weight_ih", parts * n, below.width());
        let recurrent = (own > 0).then(|| param("weight_hh", own * n, n));
        let bias = g.param(&format!("bias_{j}"), &[parts * n], init);
        let (w, u) = (param("weight_gx", layers, below.width()), param("weight_gh", layers, layers * n));
        let feedback = param("weight_fb", layers * n, n);

        let gates = (below.linear(w) + g.concat(&before, 0).linear(u)).sigmoid();
        let fed_back = (0..layers).map(|i| gates.slice(i, i + 1).sum() * before[i].linear(rows(feedback, i, n)));
        let fed_back = fed_back.reduce(|sum, term| sum + term).expect("there is a layer");
        let part = |k: usize| below.linear(rows(weight, k, n)) + rows(bias, k, n);
        let gate = |k: usize, row: usize| {
            let own = recurrent.map(|u| h.linear(rows(u, row, n)));
            own.map_or(part(k), |own| part(k) + own).sigmoid()
        };

        let next = match c {
            None if o.unit == Unit::Tanh => (part(0) + fed_back).tanh(),
            None => h + gate(1, 1) * ((part(2) + gate(0, 0) * fed_back).tanh() - h),
            Some(c) => {
                let c_next = gate(1, 1) * c + gate(0, 0) * (part(2) + fed_back).tanh();
                g.next(c, c_next);
                gate(3, 2) * c_next.tanh()
            }
        };
        g.next(h, next);
        below = next;
    }
    g.output(below);
    Ok(())
}

/// Rows of the part `k` of a parameter.
fn rows(parameter: Value<'_>, k: usize, n: usize) -> Value<'_> {
    parameter.slice(k * n, (k + 1) * n)
}
