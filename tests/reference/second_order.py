"""The second-order network: Giles et al., "Learning and Extracting Finite State Automata with Second-Order Recurrent
Neural Networks", Neural Computation 4(3), 1992.

    h_i(t) = f(Σ_jk W_ijk h_j(t-1) x_k(t) + b_i), with W_ih x(t) + W_hh h(t-1) added where the first order is mixed in
"""

import numpy as np

from .activations import nonlinearity


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (h,) = state
    a = np.einsum("ijk,j,k->i", p["weight"], h, x) + p.get("bias", 0.0)
    if options.get("first_order"):
        a = a + p["weight_ih"] @ x + p["weight_hh"] @ h
    h_new = nonlinearity(options, "sigmoid")(a)
    return h_new, (h_new,)
