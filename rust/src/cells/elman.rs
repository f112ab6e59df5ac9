//! Elman's simple recurrent network (Elman 1990), as torch.nn.RNN.

use super::{parse, uniform, yes};
use crate::error::Result;
use crate::graph::Builder;
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    input_size: usize,
    hidden_size: usize,
    #[serde(default)]
    nonlinearity: Nonlinearity,
    #[serde(default = "yes")]
    bias: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Nonlinearity {
    #[default]
    Tanh,
    Relu,
}

/// h' = f(W_ih x + b_ih + W_hh h + b_hh), f = tanh or relu; y = h'.
pub(super) fn elman(g: &Builder, options: &Json) -> Result<()> {
    let o: Options = parse("elman", options)?;
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);

    let mut z = x.linear(g.param("weight_ih", &[n, i], init)) + h.linear(g.param("weight_hh", &[n, n], init));
    if o.bias {
        z = z + g.param("bias_ih", &[n], init) + g.param("bias_hh", &[n], init);
    }
    let next = match o.nonlinearity {
        Nonlinearity::Tanh => z.tanh(),
        Nonlinearity::Relu => z.relu(),
    };

    g.next(h, next);
    g.output(next);
    Ok(())
}
