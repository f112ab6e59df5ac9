//! The gated recurrent unit (Cho et al. 2014), its reset gate before or after the matrix product.

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
    #[serde(default = "yes")]
    reset_after: bool,
    #[serde(default = "yes")]
    bias: bool,
}

/// r = σ(W_ir x + b_ir + W_hr h + b_hr), z likewise, h' = (1 − z) n + z h, with the candidate
/// n = tanh(W_in x + b_in + r (W_hn h + b_hn)) if the reset comes after the product (torch.nn.GRU), and
/// n = tanh(W_in x + b_in + W_hn (r h) + b_hn) if before (Cho et al. 2014, eq. 8); y = h'.
pub(super) fn gru(g: &Builder, options: &Json) -> Result<()> {
    let o: Options = parse("gru", options)?;
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let [w_ir, w_iz, w_in] = g.param("weight_ih", &[3 * n, i], init).split();
    let [w_hr, w_hz, w_hn] = g.param("weight_hh", &[3 * n, n], init).split();
    let bias = |name: &str| if o.bias { g.param(name, &[3 * n], init) } else { g.constant(0.0, &[3 * n]) };
    let [b_ir, b_iz, b_in] = bias("bias_ih").split();
    let [b_hr, b_hz, b_hn] = bias("bias_hh").split();

    let r = (x.linear(w_ir) + b_ir + h.linear(w_hr) + b_hr).sigmoid();
    let z = (x.linear(w_iz) + b_iz + h.linear(w_hz) + b_hz).sigmoid();
    let candidate = if o.reset_after {
        (x.linear(w_in) + b_in + r * (h.linear(w_hn) + b_hn)).tanh()
    } else {
        (x.linear(w_in) + b_in + (r * h).linear(w_hn) + b_hn).tanh()
    };
    let next = candidate + z * (h - candidate);

    g.next(h, next);
    g.output(next);
    Ok(())
}
