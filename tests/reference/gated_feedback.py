"""The gated feedback RNN: Chung et al., "Gated Feedback Recurrent Neural Networks", ICML 2015.

Layers j of units, below(j) = h_{j-1}(t) or x(t), and h* all layers' h(t-1) in one vector. What layer i sends to layer j
passes a scalar gate, g^{i→j} = σ(w_g^{i→j} · below(j) + u_g^{i→j} · h*), the global reset gate (section 3.1):

    r_j = Σ_i g^{i→j} U^{i→j} h_i(t-1)
    tanh (eq. 9)            h_j(t) = tanh(W below(j) + r_j + b)
    GRU (3.2)               the candidate tanh(W below(j) + r ⊙ r_j + b); the gates r and z see their own layer alone
    LSTM (3.2)              the candidate tanh(W below(j) + r_j + b); the gates i, f and o see their own layer alone
"""

import numpy as np

from .activations import sigmoid


def states(options, hidden_size):
    names = ("h", "c") if options.get("unit", "lstm") == "lstm" else ("h",)
    return {f"{name}{j}": hidden_size for j in range(options.get("num_hidden", 2)) for name in names}


def tanh_unit(p, j, below, h, r_j):
    return (np.tanh(p[f"weight_ih_{j}"] @ below + r_j + p[f"bias_{j}"]),)


def gru_unit(p, j, below, h, r_j):
    a_r, a_z, a_n = np.split(p[f"weight_ih_{j}"] @ below + p[f"bias_{j}"], 3)
    own_r, own_z = np.split(p[f"weight_hh_{j}"] @ h, 2)
    r, z = sigmoid(a_r + own_r), sigmoid(a_z + own_z)
    return ((1.0 - z) * h + z * np.tanh(a_n + r * r_j),)


def lstm_unit(p, j, below, h, c, r_j):
    a_i, a_f, a_g, a_o = np.split(p[f"weight_ih_{j}"] @ below + p[f"bias_{j}"], 4)
    own_i, own_f, own_o = np.split(p[f"weight_hh_{j}"] @ h, 3)
    i, f, o = sigmoid(a_i + own_i), sigmoid(a_f + own_f), sigmoid(a_o + own_o)
    c_new = f * c + i * np.tanh(a_g + r_j)
    return o * np.tanh(c_new), c_new


UNITS = {"tanh": tanh_unit, "gru": gru_unit, "lstm": lstm_unit}


def step(p, options, x, state):
    kind = options.get("unit", "lstm")
    per_layer = 2 if kind == "lstm" else 1
    layers = [state[k : k + per_layer] for k in range(0, len(state), per_layer)]
    everything = np.concatenate([layer[0] for layer in layers])
    below, new = x, []
    for j, layer in enumerate(layers):
        gates = sigmoid(p[f"weight_gx_{j}"] @ below + p[f"weight_gh_{j}"] @ everything)
        blocks = np.split(p[f"weight_fb_{j}"], len(layers))
        r_j = sum(g * (U @ other[0]) for g, U, other in zip(gates, blocks, layers, strict=True))
        unit = UNITS[kind](p, j, below, *layer, r_j)
        below = unit[0]
        new.extend(unit)
    return below, tuple(new)
