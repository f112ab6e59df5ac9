"""The multiple-timescale network: Yamashita and Tani, "Emergence of Functional Hierarchy in a Multiple Timescale Neural
Network Model", PLoS Computational Biology 4(11), 2008.

    u(t) = (1 - 1/τ) u(t-1) + (1/τ) (W_ih x(t) + W_hh f(u(t-1)) + b),        y(t) = f(u(t))

Units form groups, each with its τ. A connection between groups that is not there is a weight of zero; where nothing is
said a group sees itself and its neighbours, and the first group alone sees the input.
"""

import numpy as np

from .activations import nonlinearity


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (u,) = state
    f, groups = nonlinearity(options, "tanh"), options["groups"]
    group_of = [g for g, size in enumerate(groups) for _ in range(size)]
    connections = options.get("connections")
    W_ih, W_hh = p["weight_ih"].copy(), p["weight_hh"].copy()
    for a, to in enumerate(group_of):
        if to not in options.get("input_groups", [0]):
            W_ih[a] = 0.0
        for b, source in enumerate(group_of):
            if not (abs(to - source) <= 1 if connections is None else connections[to][source]):
                W_hh[a, b] = 0.0
    tau = np.array([options["time_constants"][g] for g in group_of])
    u_new = (1.0 - 1.0 / tau) * u + (1.0 / tau) * (W_ih @ x + W_hh @ f(u) + p.get("bias", 0.0))
    return f(u_new), (u_new,)
