"""The minimal LSTM, gates blind to the state: Feng et al., "Were RNNs All We Needed?", arXiv:2410.01201, 2024, 3.2.

f, i = σ(W x(t) + b)        h(t) = f / (f + i) ⊙ h(t-1) + i / (f + i) ⊙ (W_h x(t) + b_h),        rows f, i, h
"""

import numpy as np

from .activations import sigmoid


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (h,) = state
    a_f, a_i, candidate = np.split(p["weight_ih"] @ x + p.get("bias", 0.0), 3)
    f, i = sigmoid(a_f), sigmoid(a_i)
    h_new = f / (f + i) * h + i / (f + i) * candidate
    return h_new, (h_new,)
