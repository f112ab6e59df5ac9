"""Long short-term memory and its variants.

Without a forget gate: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997.
The forget gate:       Gers, Schmidhuber and Cummins, "Learning to Forget", Neural Computation 12(10), 2000.
Peepholes:             Gers, Schraudolph and Schmidhuber, "Learning Precise Timing with LSTM", JMLR 3, 2002.
Coupled gates:         Greff et al., "LSTM: A Search Space Odyssey", IEEE TNNLS 28(10), 2017 (CIFG).
Projection:            Sak, Senior and Beaufays, "Long Short-Term Memory Based ... Architectures", arXiv:1402.1128.
Layer normalisation:   Ba, Kiros and Hinton, arXiv:1607.06450, 2016, equations 20 to 22.

    z = W_ih x(t) + b_ih + W_hh h(t-1) + b_hh                       rows i, f, g, o
    i = σ(z_i + p_i c(t-1))      f = σ(z_f + p_f c(t-1))      g = tanh z_g
    c(t) = f c(t-1) + i g        o = σ(z_o + p_o c(t))
    h(t) = o tanh c(t), then W_hr h(t) where there is a projection

With layer normalisation the two products are normalised over all gates before the biases are added, and c(t) where it
enters the output. Coupled: i = 1 - f, rows f, g, o. No forget gate: f = 1, rows i, g, o.
"""

import numpy as np

from .activations import sigmoid
from .layer_norm import layer_norm

STATES = ("h", "c")


def widths(options, hidden_size):
    return (options.get("proj_size", 0) or hidden_size, hidden_size)


def step(p, options, x, state):
    h, c = state
    from_input, from_state = x @ p["weight_ih"].T, h @ p["weight_hh"].T
    if options.get("layer_norm"):
        from_input = layer_norm(from_input, p["ln_ih_weight"], p["ln_ih_bias"])
        from_state = layer_norm(from_state, p["ln_hh_weight"], p["ln_hh_bias"])
    z = from_input + from_state
    if "bias_ih" in p:
        z = z + p["bias_ih"] + p["bias_hh"]

    def gate(name, rows, cell):
        peephole = p[f"weight_p_{name}"] * cell if options.get("peephole") else 0.0
        return sigmoid(rows + peephole)

    if options.get("coupled"):
        z_f, z_g, z_o = np.split(z, 3, axis=-1)
        f = gate("f", z_f, c)
        i = 1.0 - f
    elif not options.get("forget_gate", True):
        z_i, z_g, z_o = np.split(z, 3, axis=-1)
        i, f = gate("i", z_i, c), 1.0
    else:
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
        i, f = gate("i", z_i, c), gate("f", z_f, c)
    c_new = f * c + i * np.tanh(z_g)
    o = gate("o", z_o, c_new)
    out = layer_norm(c_new, p["ln_c_weight"], p["ln_c_bias"]) if options.get("layer_norm") else c_new
    h_new = o * np.tanh(out)
    if options.get("proj_size"):
        h_new = h_new @ p["weight_hr"].T
    return h_new, c_new


def kink(p, options, x, state):
    return np.inf
