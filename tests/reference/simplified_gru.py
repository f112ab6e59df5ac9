"""The GRU with simpler gates: Dey and Salem, "Gate-Variants of Gated Recurrent Unit Neural Networks", MWSCAS 2017.

r, z = σ(U h(t-1) + b) (GRU1), σ(U h(t-1)) (GRU2) or σ(b) (GRU3)
h(t) = (1 - z) ⊙ h(t-1) + z ⊙ tanh(W x(t) + U_n (r ⊙ h(t-1)) + b_n),        rows r, z, n
"""

import numpy as np

from .activations import sigmoid


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (h,) = state
    kind = options.get("kind", 1)
    if kind == 3:
        b_r, b_z, b_n = np.split(p["bias"], 3)
        r, z, U_n = sigmoid(b_r), sigmoid(b_z), p["weight_hh"]
    else:
        U_r, U_z, U_n = np.split(p["weight_hh"], 3)
        b_r, b_z, b_n = np.split(p["bias"], 3) if kind == 1 else (0.0, 0.0, p["bias"])
        r, z = sigmoid(U_r @ h + b_r), sigmoid(U_z @ h + b_z)
    h_new = (1.0 - z) * h + z * np.tanh(p["weight_ih"] @ x + U_n @ (r * h) + b_n)
    return h_new, (h_new,)
