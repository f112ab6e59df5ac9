"""sLSTM: Beck et al., "xLSTM: Extended Long Short-Term Memory", NeurIPS 2024, equations 8 to 17.

ĩ, f̃, z̃, õ = W x(t) + R h(t-1) + b                     rows i, f, z, o; each head's units see its own h alone
m(t) = max(log f + m(t-1), ĩ)                           f = σ(f̃) or exp f̃
c(t) = exp(log f + m(t-1) - m(t)) c(t-1) + exp(ĩ - m(t)) tanh z̃
n(t) = exp(log f + m(t-1) - m(t)) n(t-1) + exp(ĩ - m(t))        h(t) = σ(õ) c(t) / n(t)
"""

import numpy as np

from .activations import log_sigmoid, maximum, sigmoid

POSITIVE = ("n",)


def states(options, hidden_size):
    return dict.fromkeys(("h", "c", "n", "m"), hidden_size)


def step(p, options, x, state):
    h, c, n, m = state
    heads = np.split(h, options.get("heads", 1))
    from_input = np.split(p["weight_ih"] @ x + p.get("bias", 0.0), 4)
    a_i, a_f, a_z, a_o = (
        a + np.concatenate([R @ own for R, own in zip(np.split(rows, len(heads)), heads, strict=True)])
        for a, rows in zip(from_input, np.split(p["weight_hh"], 4), strict=True)
    )
    log_f = log_sigmoid(a_f) if options.get("forget", "sigmoid") == "sigmoid" else a_f
    m_new = maximum(log_f + m, a_i)
    f, i = np.exp(log_f + m - m_new), np.exp(a_i - m_new)
    c_new = f * c + i * np.tanh(a_z)
    n_new = f * n + i
    h_new = sigmoid(a_o) * c_new / n_new
    return h_new, (h_new, c_new, n_new, m_new)
