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
    let gate = |name| names.find(name).map_or(z, |k| z.slice(k * n, (k + 1) * n));
    let seeing = |name: char, cell| match o.peephole {
        true => gate(name) + g.param(&format!("weight_p_{name}"), &[n], init) * cell,
        false => gate(name),
    };

    let f = if o.forget_gate { seeing('f', c).sigmoid() } else { g.constant(1.0, &[n]) };
    let i = if o.coupled { 1.0 - f } else { seeing('i', c).sigmoid() };
    let c_next = f * c + i * gate('g').tanh();
    let o_gate = seeing('o', c_next).sigmoid();
    let squashed = if o.layer_norm { normalised(g, "c", c_next).tanh() } else { c_next.tanh() };
    let mut h_next = o_gate * squashed;
    if o.proj_size > 0 {
        h_next = h_next.linear(g.param("weight_hr", &[out, n], init));
    }

    g.next(h, h_next);
    g.next(c, c_next);
    g.output(h_next);
    Ok(())
}

/// Layer normalisation with its own parameters.
fn normalised<'b>(g: &'b Builder, name: &str, x: Value<'b>) -> Value<'b> {
    let weight = g.param(&format!("ln_{name}_weight"), &[x.width()], Init::Constant(1.0));
    let bias = g.param(&format!("ln_{name}_bias"), &[x.width()], Init::Constant(0.0));
    layer_norm(x, weight, bias, EPS)
}

/// The gates that have rows in the weights, in PyTorch's order.
fn gates(o: &Options) -> Result<&'static str> {
    if o.coupled && !o.forget_gate {
        return Err(Error::Value(
            "lstm: expected forget_gate=true with coupled=true, for i = 1 − f, got forget_gate=false".into(),
        ));
    }
    if !o.forget_bias.is_finite() || (o.forget_bias != 0.0 && !(o.forget_gate && o.bias)) {
        return Err(Error::Value(format!(
            "lstm: expected forget_bias=0 without forget gate or bias, and finite, got {}",
            o.forget_bias
        )));
    }
    if o.proj_size >= o.hidden_size {
        return Err(Error::Value(format!(
            "lstm: expected proj_size below hidden_size {}, got {}",
            o.hidden_size, o.proj_size
        )));
    }
    Ok(match (o.coupled, o.forget_gate) {
        (true, _) => "fgo",
        (false, true) => "ifgo",
        (false, false) => "igo",
    })
}
