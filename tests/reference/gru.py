"""The gated recurrent unit: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014.

    r = σ(W_ir x(t) + b_ir + W_hr h(t-1) + b_hr)        z = σ(W_iz x(t) + b_iz + W_hz h(t-1) + b_hz)
    h(t) = z h(t-1) + (1 - z) n,                        rows r, z, n

Two forms of n are in use: tanh(W_in x + b_in + r (W_hn h + b_hn)), the reset gate after the product, as cuDNN and
PyTorch have it, and tanh(W_in x + b_in + W_hn (r h) + b_hn), the reset gate before it (arXiv:1406.1078v1).
"""

import numpy as np

from .activations import sigmoid


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (h,) = state
    W_ir, W_iz, W_in = np.split(p["weight_ih"], 3)
    W_hr, W_hz, W_hn = np.split(p["weight_hh"], 3)
    zeros = np.zeros(3 * h.shape[-1])
    b_ir, b_iz, b_in = np.split(p.get("bias_ih", zeros), 3)
    b_hr, b_hz, b_hn = np.split(p.get("bias_hh", zeros), 3)
    r = sigmoid(x @ W_ir.T + b_ir + h @ W_hr.T + b_hr)
    z = sigmoid(x @ W_iz.T + b_iz + h @ W_hz.T + b_hz)
    if options.get("reset_after", True):
        n = np.tanh(x @ W_in.T + b_in + r * (h @ W_hn.T + b_hn))
    else:
        n = np.tanh(x @ W_in.T + b_in + (r * h) @ W_hn.T + b_hn)
    h_new = z * h + (1.0 - z) * n
    return h_new, (h_new,)
