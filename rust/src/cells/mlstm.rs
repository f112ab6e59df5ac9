//! The matrix memory of xLSTM (Beck et al. 2024): each head stores values under keys and is asked with queries.

use super::{Forget, cell, head_size, param_if, uniform};
use crate::error::Result;
use crate::graph::{Builder, Value};

cell! {
    /// The mLSTM of xLSTM (Beck, Poeppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter and Hochreiter 2024,
    /// equations 19 to 27): heads of d = H / heads units, each with a matrix memory C, linear in its state.
    ///
    /// q = W_q x + b_q, k = (W_k x + b_k) / sqrt(d), v = W_v x + b_v, o = sigmoid(W_o x + b_o)
    /// a_i = w_i . x + b_i, a_f = w_f . x + b_f, l = ln sigmoid(a_f), or a_f with forget "exp"
    /// m' = max(l + m, a_i), i = exp(a_i - m'), f = exp(l + m - m')
    /// C' = f C + i v k^T
    /// n' = f n + i k
    /// y = o * (C' q) / max(|n' . q|, exp(-m'))
    ///
    /// Parameters: weight_ih (4H, I) and bias (4H,) in the order q, k, v, o, weight_gates (2 heads, I) and bias_gates
    /// (2 heads,) in the order i, f. State: C0 (d, d), C1, ... for each head, n (H), m (heads).
    MLSTM "mlstm" {
        input_size: usize,
        hidden_size: usize,
        /// How many heads of equal size.
        heads: usize = 1,
        /// "sigmoid" or "exp".
        forget: Forget = Forget::Sigmoid,
        /// Whether there are biases.
        bias: bool = true,
    }
}

fn equations<'b>(g: &'b Builder, o: &Options) -> Result<()> {
    let (i, n, heads, init) = (o.input_size, o.hidden_size, o.heads, uniform(o.hidden_size));
    let d = head_size("mlstm", heads, n)?;

    let x = g.input("x", &[i]);
    let memories: Vec<_> = (0..heads).map(|head| g.state(&format!("C{head}"), &[d, d])).collect();
    let (normaliser, m) = (g.state("n", &[n]), g.state("m", &[heads]));
    let [w_q, w_k, w_v, w_o] = g.param("weight_ih", &[4 * n, i], init).split();
    let [w_i, w_f] = g.param("weight_gates", &[2 * heads, i], init).split();
    let [b_q, b_k, b_v, b_o] = param_if(o.bias, g, "bias", &[4 * n], init).split();
    let [b_i, b_f] = param_if(o.bias, g, "bias_gates", &[2 * heads], init).split();

    let (q, v) = (x.linear(w_q) + b_q, x.linear(w_v) + b_v);
    let k = (x.linear(w_k) + b_k) * (1.0 / (d as f64).sqrt());
    let (a_i, kept) = (x.linear(w_i) + b_i, o.forget.log(x.linear(w_f) + b_f) + m);
    let m_next = kept.maximum(a_i);
    let (i, f, least) = ((a_i - m_next).exp(), (kept - m_next).exp(), (-m_next).exp());

    let (mut n_next, mut recalled) = (Vec::new(), Vec::new());
    for (head, &memory) in memories.iter().enumerate() {
        let own = |units: Value<'b>| units.slice(head * d, (head + 1) * d);
        let of_head = |gate: Value<'b>| gate.slice(head, head + 1).sum();
        let (i, f, q, k) = (of_head(i), of_head(f), own(q), own(k));
        let c_next = f * memory + i * own(v).outer(k);
        let n_head = f * own(normaliser) + i * k;
        recalled.push(c_next.matvec(q) / (n_head * q).sum().abs().maximum(of_head(least)));
        n_next.push(n_head);
        g.next(memory, c_next);
    }

    g.next(normaliser, g.concat(&n_next, 0));
    g.next(m, m_next);
    g.output((x.linear(w_o) + b_o).sigmoid() * g.concat(&recalled, 0));
    Ok(())
}
