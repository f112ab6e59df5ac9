"""The simple recurrent unit: Lei et al., "Simple Recurrent Units for Highly Parallelizable Recurrence", EMNLP 2018.

    f = σ(W_f x(t) + v_f ⊙ c(t-1) + b_f)          r = σ(W_r x(t) + v_r ⊙ c(t-1) + b_r)
    c(t) = f ⊙ c(t-1) + (1 - f) ⊙ (W x(t))        y(t) = r ⊙ g(c(t)) + (1 - r) ⊙ s,        rows W, W_f, W_r, W_s

s is x(t) where the widths agree and W_s x(t) where not. The first version (arXiv:1709.02755v1, 2017) has no v.
"""

import numpy as np

from .activations import nonlinearity, sigmoid


def states(options, hidden_size):
    return {"c": hidden_size}


def step(p, options, x, state):
    (c,) = state
    parts = np.split(p["weight_ih"] @ x, 3 if len(x) == len(c) else 4)
    candidate, a_f, a_r = parts[:3]
    skip = x if len(x) == len(c) else parts[3]
    b_f, b_r = np.split(p["bias"], 2) if "bias" in p else (0.0, 0.0)
    v_f, v_r = np.split(p["weight_c"], 2) if options.get("state_gates") else (0.0, 0.0)
    f, r = sigmoid(a_f + v_f * c + b_f), sigmoid(a_r + v_r * c + b_r)
    c_new = f * c + (1.0 - f) * candidate
    return r * nonlinearity(options, "identity")(c_new) + (1.0 - r) * skip, (c_new,)
