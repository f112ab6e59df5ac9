"""The simple recurrent network: Elman, "Finding Structure in Time", Cognitive Science 14, 1990; two biases as PyTorch.

h(t) = f(W_ih x(t) + b_ih + W_hh h(t-1) + b_hh),    f = tanh or relu
"""

import numpy as np

from .activations import relu

STATES = ("h",)


def widths(options, hidden_size):
    return (hidden_size,)


def preactivation(p, x, h):
    z = x @ p["weight_ih"].T + h @ p["weight_hh"].T
    return z + p["bias_ih"] + p["bias_hh"] if "bias_ih" in p else z


def step(p, options, x, state):
    (h,) = state
    f = {"tanh": np.tanh, "relu": relu}[options.get("nonlinearity", "tanh")]
    return (f(preactivation(p, x, h)),)


def kink(p, options, x, state):
    """How far the nearest unit is from the corner of relu; infinite for tanh."""
    if options.get("nonlinearity", "tanh") != "relu":
        return np.inf
    return np.abs(preactivation(p, x, state[0])).min(initial=np.inf)
