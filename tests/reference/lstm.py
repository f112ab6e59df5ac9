"""Long short-term memory and its variants.

Without a forget gate: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997.
The forget gate:       Gers, Schmidhuber and Cummins, "Learning to Forget", Neural Computation 12(10), 2000.
Peepholes:             Gers, Schraudolph and Schmidhuber, "Learning Precise Timing with LSTM", JMLR 3, 2002.
Projection:            Sak, Senior and Beaufays, "Long Short-Term Memory Based ... Architectures", arXiv:1402.1128.
Layer normalisation:   Ba, Kiros and Hinton, arXiv:1607.06450, 2016, equations 20 to 22.
All other variants:    Greff et al., "LSTM: A Search Space Odyssey", IEEE TNNLS 28(10), 2017: coupled gates (CIFG), no
                       input, forget or output gate (NIG, NFG, NOG), no input or output activation (NIAF, NOAF), full
                       gate recurrence (FGR).

    z = W_ih x(t) + b_ih + W_hh h(t-1) + b_hh                       rows i, f, g, o
    i = σ(z_i + p_i c(t-1))      f = σ(z_f + p_f c(t-1))      g = tanh z_g
    c(t) = f c(t-1) + i g        o = σ(z_o + p_o c(t))
    h(t) = o tanh c(t), then W_hr h(t) where there is a projection

With layer normalisation the two products are normalised over all gates before the biases are added, and c(t) where it
enters the output. Coupled: i = 1 - f. A gate that is not there is 1, and has no rows. Without an activation g = z_g,
or h(t) = o c(t). With full gate recurrence W_gates (i, f, o)(t-1) is added to the gates' rows of z.
"""

import numpy as np

from .activations import identity, sigmoid
from .layer_norm import layer_norm


def states(options, hidden_size):
    widths = {"h": options.get("proj_size", 0) or hidden_size, "c": hidden_size}
    if options.get("full_gate_recurrence"):
        widths |= {"i": hidden_size, "f": hidden_size, "o": hidden_size}
    return widths


def output_size(options, hidden_size, input_size):
    return options.get("proj_size", 0) or hidden_size


def rows(options):
    """The gates that have rows, in their order."""
    absent = {name for name in ("input", "forget", "output") if not options.get(f"{name}_gate", True)}
    absent |= {"input"} if options.get("coupled") else set()
    return [name for name in ("input", "forget", "g", "output") if name not in absent]


def step(p, options, x, state):
    h, c, *gates = state
    from_input, from_state = x @ p["weight_ih"].T, h @ p["weight_hh"].T
    if options.get("layer_norm"):
        from_input = layer_norm(from_input, p["ln_ih_weight"], p["ln_ih_bias"])
        from_state = layer_norm(from_state, p["ln_hh_weight"], p["ln_hh_bias"])
    names = rows(options)
    z = from_input + from_state + p.get("bias_ih", 0.0) + p.get("bias_hh", 0.0)
    z = dict(zip(names, np.split(z, len(names)), strict=True))
    if options.get("full_gate_recurrence"):
        from_gates = p["weight_gates"] @ np.concatenate(gates)
        for name, part in zip(("input", "forget", "output"), np.split(from_gates, 3), strict=True):
            z[name] = z[name] + part

    def gate(name, cell):
        if name not in z:
            return np.ones_like(c)
        return sigmoid(z[name] + (p[f"weight_p_{name[0]}"] * cell if options.get("peephole") else 0.0))

    f = gate("forget", c)
    i = 1.0 - f if options.get("coupled") else gate("input", c)
    g = (np.tanh if options.get("input_activation", True) else identity)(z["g"])
    c_new = f * c + i * g
    o = gate("output", c_new)
    out = layer_norm(c_new, p["ln_c_weight"], p["ln_c_bias"]) if options.get("layer_norm") else c_new
    h_new = o * (np.tanh if options.get("output_activation", True) else identity)(out)
    if options.get("proj_size"):
        h_new = h_new @ p["weight_hr"].T
    return h_new, (h_new, c_new, i, f, o)[: len(state)]
