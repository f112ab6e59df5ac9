//! The scalar memory of xLSTM (Beck et al. 2024): exponential gates, kept in range by a stabiliser.

use super::{Forget, cell, head_size, param_if, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The sLSTM of xLSTM (Beck, Poeppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter and Hochreiter 2024,
    /// equations 8 to 17): an LSTM with exponential gates, a normaliser n and a stabiliser m.
    ///
    /// a_i, a_f, a_z, a_o = W x + R h + b, where R connects units of one head only
    /// l = ln sigmoid(a_f), or a_f with forget "exp"
    /// m' = max(l + m, a_i), i = exp(a_i - m'), f = exp(l + m - m')
    /// c' = f * c + i * tanh(a_z)
    /// n' = f * n + i
    /// h' = sigmoid(a_o) * c' / n', y = h'
    ///
    /// Parameters, in the order i, f, z, o: weight_ih W (4H, I), weight_hh R (4H, H / heads), a unit's row for the units
    /// of its head, bias (4H,). State: h, c, n, m (H each).
    SLSTM "slstm" {
        input_size: usize,
        hidden_size: usize,
        /// Into how many heads of equal size the units are divided.
        heads: usize = 1,
        /// "sigmoid" or "exp".
        forget: Forget = Forget::Sigmoid,
        /// Whether there is a bias.
        bias: bool = true,
    }
}

/// Where the normaliser has vanished, with the memory, h' is 0 and not 0/0.
const TINY: f64 = 1e-30;

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    let size = head_size("slstm", o.heads, n)?;

    let x = g.input("x", &[i]);
    let [h, c, normaliser, m] = ["h", "c", "n", "m"].map(|name| g.state(name, &[n]));
    let w = g.param("weight_ih", &[4 * n, i], init);
    let r = g.param("weight_hh", &[4 * n, size], init);
    let bias = param_if(o.bias, g, "bias", &[4 * n], init);
    let a = |gate: usize| {
        let rows = gate * n..(gate + 1) * n;
        let heads = (0..n).step_by(size).map(|unit| {
            let from = rows.start + unit;
            h.slice(unit, unit + size).linear(r.slice(from, from + size))
        });
        x.linear(w.slice(rows.start, rows.end)) + g.concat(&heads.collect::<Vec<_>>(), 0) + bias.slice(rows.start, rows.end)
    };

    let (a_i, kept) = (a(0), o.forget.log(a(1)) + m);
    let m_next = kept.maximum(a_i);
    let (i, f) = ((a_i - m_next).exp(), (kept - m_next).exp());
    let c_next = f * c + i * a(2).tanh();
    let n_next = f * normaliser + i;
    let h_next = a(3).sigmoid() * c_next / n_next.maximum(g.constant(TINY, &[n]));

    g.next(h, h_next);
    g.next(c, c_next);
    g.next(normaliser, n_next);
    g.next(m, m_next);
    g.output(h_next);
    Ok(())
}
