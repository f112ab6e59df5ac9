//! Long short-term memory (Hochreiter & Schmidhuber 1997; forget gates: Gers et al. 2000) and its options.

use super::{layer_norm, parse, uniform, yes};
use crate::error::{Error, Result};
use crate::graph::{Builder, Init, Value};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    input_size: usize,
    hidden_size: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    proj_size: usize,
    #[serde(default)]
    peephole: bool,
    #[serde(default)]
    coupled: bool,
    #[serde(default = "yes")]
    forget_gate: bool,
    #[serde(default)]
    forget_bias: f64,
    #[serde(default)]
    layer_norm: bool,
}

const EPS: f64 = 1e-5;

/// i, f, o = σ(z_i), σ(z_f), σ(z_o); g = tanh(z_g); c' = f c + i g; h' = o tanh(c'); y = h', where
/// z = W_ih x + b_ih + W_hh h + b_hh.
///
/// - `peephole` (Gers & Schmidhuber 2000): z_i += p_i c, z_f += p_f c, z_o += p_o c'
/// - `coupled` (Greff et al. 2017, CIFG): i = 1 − f, without rows for i
/// - `forget_gate = false` (1997): f = 1, without rows for f
/// - `layer_norm` (Ba et al. 2016, eq. 20-22): z = LN(W_ih x) + LN(W_hh h) + b, h' = o tanh(LN(c'))
/// - `proj_size` (Sak et al. 2014): h' = W_hr (o tanh(c'))
/// - `forget_bias` is added to the rows of f in the initial b_ih
pub(super) fn lstm(g: &Builder, options: &Json) -> Result<()> {
    let o: Options = parse("lstm", options)?;
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    let out = if o.proj_size > 0 { o.proj_size } else { n };
    let names = gates(&o)?;
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
