"""The simple recurrent network: Elman, "Finding Structure in Time", Cognitive Science 14, 1990; two biases as PyTorch.

h(t) = f(W_ih x(t) + b_ih + W_hh h(t-1) + b_hh),    f = tanh or relu
"""

from .activations import nonlinearity


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (h,) = state
    f = nonlinearity(options, "tanh")
    h_new = f(x @ p["weight_ih"].T + h @ p["weight_hh"].T + p.get("bias_ih", 0.0) + p.get("bias_hh", 0.0))
    return h_new, (h_new,)
