"""The independently recurrent network: Li et al., "Independently Recurrent Neural Network (IndRNN)", CVPR 2018.

h(t) = f(W_ih x(t) + u ⊙ h(t-1) + b): each unit sees, of the step before, itself alone. With layer normalisation
f(LN(W_ih x(t) + b) + u ⊙ h(t-1)), so that no unit sees another through the norm's statistics of the state either.
"""

from .activations import nonlinearity
from .layer_norm import layer_norm


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (h,) = state
    a = p["weight_ih"] @ x + p.get("bias", 0.0)
    if options.get("layer_norm"):
        a = layer_norm(a, p["weight_ln"], p["bias_ln"])
    h_new = nonlinearity(options, "relu")(a + p["weight_hh"] * h)
    return h_new, (h_new,)
