//! Long short-term memory (Hochreiter & Schmidhuber 1997; forget gates: Gers et al. 2000) and its options.

use super::{cell, layer_norm, uniform};
use crate::error::{Error, Result};
use crate::graph::{Builder, Init, Value};

cell! {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997) with forget gates (Gers, Schmidhuber and Cummins 2000).
    ///
    /// i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)
    /// f = sigmoid(W_if x + b_if + W_hf h + b_hf)
    /// g = tanh(W_ig x + b_ig + W_hg h + b_hg)
    /// o = sigmoid(W_io x + b_io + W_ho h + b_ho)
    /// c' = f * c + i * g
    /// h' = o * tanh(c'), y = h'
    ///
    /// Parameters, in the order of gates i, f, g, o: weight_ih (4H, I), weight_hh (4H, H), bias_ih (4H,), bias_hh (4H,).
    /// State: h (H, or proj_size) and c (H).
    LSTM "lstm" {
        input_size: usize,
        hidden_size: usize,
        /// Whether there are biases.
        bias: bool = true,
        /// h' = W_hr (o * tanh(c')), of this width (Sak, Senior and Beaufays 2014); adds weight_hr.
        proj_size: usize = 0,
        /// The gates i and f also see c, o also sees c' (Gers and Schmidhuber 2000); adds weight_p_i, weight_p_f and
        /// weight_p_o (H,).
        peephole: bool = false,
        /// i = 1 - f (Greff et al. 2017), so there are no rows for i.
        coupled: bool = false,
        /// False gives the LSTM of 1997, c' = c + i * g, without rows for f.
        forget_gate: bool = true,
        /// False gives i = 1, without rows for i (this and the next four: variants of Greff et al. 2017).
        input_gate: bool = true,
        /// False gives o = 1, without rows for o.
        output_gate: bool = true,
        /// False leaves out the tanh of g.
        input_activation: bool = true,
        /// False leaves out the tanh of c'.
        output_activation: bool = true,
        /// The gates also see themselves at the step before: i, f and o become states, of this order behind h and c;
        /// adds weight_gates (3H, 3H), rows and columns in this order.
        full_gate_recurrence: bool = false,
        /// Added to bias_ih of the forget gate when the parameters are drawn.
        forget_bias: f64 = 0.0,
        /// Layer normalisation of both products and of c' (Ba, Kiros and Hinton 2016, equations 20 to 22).
        layer_norm: bool = false,
    }
}

const EPS: f64 = 1e-5;

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    let out = if o.proj_size > 0 { o.proj_size } else { n };
    let names = gates(o)?;
    let rows = names.len() * n;

    let x = g.input("x", &[i]);
    let h = g.state("h", &[out]);
    let c = g.state("c", &[n]);

    let mut from_x = x.linear(g.param("weight_ih", &[rows, i], init));
    let mut from_h = h.linear(g.param("weight_hh", &[rows, out], init));
    if o.layer_norm {
        from_x = normalised(g, "ih", from_x);
        from_h = normalised(g, "hh", from_h);
    }
    let mut z = from_x + from_h;
    if o.bias {
        let start = match names.find('f') {
            Some(gate) => Init::Shifted {
                bound: 1.0 / (n as f64).sqrt(),
                from: gate * n,
                to: (gate + 1) * n,
                plus: o.forget_bias,
            },
            None => init,
        };
        z = z + g.param("bias_ih", &[rows], start) + g.param("bias_hh", &[rows], init);
    }
    let gates = o.full_gate_recurrence.then(|| {
        let before = ["i", "f", "o"].map(|name| g.state(name, &[n]));
        (before, g.concat(&before, 0), g.param("weight_gates", &[3 * n, 3 * n], init))
    });
    let part = |k: usize| z.slice(k * n, (k + 1) * n);
    let gate = |name: char, cell| {
        let Some(mut z) = names.find(name).map(part) else { return g.constant(1.0, &[n]) };
        if let (Some((_, before, weight)), Some(row)) = (gates, "ifo".find(name)) {
            z = z + before.linear(weight.slice(row * n, (row + 1) * n));
        }
        if o.peephole {
            z = z + g.param(&format!("weight_p_{name}"), &[n], init) * cell;
        }
        z.sigmoid()
    };

    let f = gate('f', c);
    let i = if o.coupled { 1.0 - f } else { gate('i', c) };
    let c_next = f * c + i * squash(o.input_activation, names.find('g').map_or(z, part));
    let o_gate = gate('o', c_next);
    let normal = if o.layer_norm { normalised(g, "c", c_next) } else { c_next };
    for (before, now) in gates.iter().flat_map(|gates| gates.0.into_iter().zip([i, f, o_gate])) {
        g.next(before, now);
    }
    let mut h_next = o_gate * squash(o.output_activation, normal);
    if o.proj_size > 0 {
        h_next = h_next.linear(g.param("weight_hr", &[out, n], init));
    }

    g.next(h, h_next);
    g.next(c, c_next);
    g.output(h_next);
    Ok(())
}

/// tanh, or nothing.
fn squash(active: bool, value: Value<'_>) -> Value<'_> {
    if active { value.tanh() } else { value }
}

/// Layer normalisation with its own parameters.
fn normalised<'b>(g: &'b Builder, name: &str, x: Value<'b>) -> Value<'b> {
    let weight = g.param(&format!("ln_{name}_weight"), &[x.width()], Init::Constant(1.0));
    let bias = g.param(&format!("ln_{name}_bias"), &[x.width()], Init::Constant(0.0));
    layer_norm(x, weight, bias, EPS)
}

/// The gates that have rows in the weights, in PyTorch's order.
fn gates(o: &Options) -> Result<String> {
    let refuse = |what: String| Err(Error::Value(format!("lstm: expected {what}")));
    if o.coupled && !(o.forget_gate && o.input_gate) {
        return refuse("forget_gate=true and input_gate=true with coupled=true, for i = 1 − f, got one of them false".into());
    }
    if o.full_gate_recurrence && (o.coupled || !(o.input_gate && o.forget_gate && o.output_gate)) {
        return refuse("three gates of their own with full_gate_recurrence=true, got fewer".into());
    }
    if !o.forget_bias.is_finite() || (o.forget_bias != 0.0 && !(o.forget_gate && o.bias)) {
        return refuse(format!("forget_bias=0 without forget gate or bias, and finite, got {}", o.forget_bias));
    }
    if o.proj_size >= o.hidden_size {
        return refuse(format!("proj_size below hidden_size {}, got {}", o.hidden_size, o.proj_size));
    }
    let present = [('i', o.input_gate && !o.coupled), ('f', o.forget_gate), ('g', true), ('o', o.output_gate)];
    Ok(present.iter().filter(|gate| gate.1).map(|gate| gate.0).collect())
}
