"""The quasi-recurrent network: Bradbury et al., "Quasi-Recurrent Neural Networks", arXiv:1611.01576, 2016.

A masked convolution over time makes the gates, and a pooling that is elementwise runs over them (equations 3 to 5):

    a(t) = Σ_{j<k} W_j x(t-j) + b,        z = tanh a_z,        f, o, i = σ(a),        rows z, f, o, i
    f        h(t) = f ⊙ h(t-1) + (1 - f) ⊙ z, which is the output
    fo       c(t) = f ⊙ c(t-1) + (1 - f) ⊙ z        y(t) = o ⊙ c(t)
    ifo      c(t) = f ⊙ c(t-1) + i ⊙ z              y(t) = o ⊙ c(t)

A step at a time, the convolution keeps what earlier inputs will give to later steps: p_j(t) = W_j x(t) + p_{j+1}(t-1).
"""

import numpy as np

from .activations import sigmoid


def states(options, hidden_size):
    width = (1 + len(options.get("pooling", "fo"))) * hidden_size
    return {"c": hidden_size} | {f"p{j}": width for j in range(1, options.get("kernel_size", 2))}


def step(p, options, x, state):
    c, *later = state
    pooling = options.get("pooling", "fo")
    W = np.split(p["weight_ih"], len(later) + 1, axis=1)
    sums = [W_j @ x + q for W_j, q in zip(W, [*later, 0.0], strict=True)]
    a_z, *gates = np.split(sums[0] + p.get("bias", 0.0), 1 + len(pooling))
    f, *rest = (sigmoid(a) for a in gates)
    c_new = f * c + (rest[1] if pooling == "ifo" else 1.0 - f) * np.tanh(a_z)
    return (c_new if pooling == "f" else rest[0] * c_new), (c_new, *sums[1:])
