"""The minimal GRU, its gate blind to the state: Feng et al., "Were RNNs All We Needed?", arXiv:2410.01201, 2024, 3.1.

z = σ(W_z x(t) + b_z)        h(t) = (1 - z) ⊙ h(t-1) + z ⊙ (W_h x(t) + b_h),        rows z, h
"""

import numpy as np

from .activations import sigmoid


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (h,) = state
    a_z, candidate = np.split(p["weight_ih"] @ x + p.get("bias", 0.0), 2)
    z = sigmoid(a_z)
    h_new = (1.0 - z) * h + z * candidate
    return h_new, (h_new,)
