"""The fully recurrent network: Williams and Zipser, "A Learning Algorithm for Continually Running Fully Recurrent
Neural Networks", Neural Computation 1(2), 1989.

Every unit sees every unit. The input reaches the first units only, the output is read from the last:

    h_k(t) = f(Σ_j W_hh[k, j] h_j(t-1) + [k < input_units] Σ_j W_ih[k, j] x_j(t) + b_k)
"""

import numpy as np

from .activations import nonlinearity


def states(options, hidden_size):
    return {"h": hidden_size}


def output_size(options, hidden_size, input_size):
    return options.get("output_units") or hidden_size


def step(p, options, x, state):
    (h,) = state
    a = p["weight_hh"] @ h + p.get("bias", np.zeros_like(h))
    a[: options.get("input_units")] += p["weight_ih"] @ x
    h_new = nonlinearity(options, "sigmoid")(a)
    units = options.get("output_units")
    return (h_new if units is None else h_new[-units:]), (h_new,)
