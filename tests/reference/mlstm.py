"""mLSTM: Beck et al., "xLSTM: Extended Long Short-Term Memory", NeurIPS 2024, equations 19 to 27, stabilised as in 15.

For each head, of width d, with a matrix C for its memory and scalar gates:

    q = W_q x(t) + b_q        k = (W_k x(t) + b_k) / √d        v = W_v x(t) + b_v        o = σ(W_o x(t) + b_o)
    m(t) = max(log f + m(t-1), ĩ)                               f = σ(f̃) or exp f̃
    C(t) = f' C(t-1) + i' v kᵀ        n(t) = f' n(t-1) + i' k        with f' and i' as in the sLSTM
    y(t) = o ⊙ C(t) q / max(|n(t) · q|, exp(-m(t)))
"""

import numpy as np

from . import corners
from .activations import log_sigmoid, maximum, sigmoid


def states(options, hidden_size):
    heads = options.get("heads", 1)
    matrices = {f"C{k}": (hidden_size // heads) ** 2 for k in range(heads)}
    return matrices | {"n": hidden_size, "m": heads}


def step(p, options, x, state):
    *matrices, n, m = state
    heads = len(matrices)
    d = n.size // heads
    q, k, v, a_o = np.split(p["weight_ih"] @ x + p.get("bias", 0.0), 4)
    a_i, a_f = np.split(p["weight_gates"] @ x + p.get("bias_gates", 0.0), 2)
    log_f = log_sigmoid(a_f) if options.get("forget", "sigmoid") == "sigmoid" else a_f
    m_new = maximum(log_f + m, a_i)
    f, i = np.exp(log_f + m - m_new), np.exp(a_i - m_new)
    new, n_new, out = [], [], []
    for head, matrix in enumerate(matrices):
        own = slice(head * d, (head + 1) * d)
        key = k[own] / np.sqrt(d)
        C = f[head] * matrix.reshape(d, d) + i[head] * np.outer(v[own], key)
        norm = f[head] * n[own] + i[head] * key
        weight, least = abs(norm @ q[own]), np.exp(-m_new[head])
        if weight > least:
            corners.note(weight)
        out.append(C @ q[own] / maximum(weight, least))
        new.append(C.ravel())
        n_new.append(norm)
    return sigmoid(a_o) * np.concatenate(out), (*new, np.concatenate(n_new), m_new)
