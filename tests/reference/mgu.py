"""The minimal gated unit: Zhou et al., "Minimal Gated Unit for Recurrent Neural Networks", IJAC 13(3), 2016.

f = σ(W_f x(t) + U_f h(t-1) + b_f)        n = tanh(W_n x(t) + U_n (f ⊙ h(t-1)) + b_n)
h(t) = (1 - f) ⊙ h(t-1) + f ⊙ n,                                                         rows f, n
"""

import numpy as np

from .activations import sigmoid


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (h,) = state
    a_f, a_n = np.split(p["weight_ih"] @ x + p.get("bias", 0.0), 2)
    U_f, U_n = np.split(p["weight_hh"], 2)
    f = sigmoid(a_f + U_f @ h)
    h_new = (1.0 - f) * h + f * np.tanh(a_n + U_n @ (f * h))
    return h_new, (h_new,)
