"""A network that feeds back both its hidden layer, as Elman's (1990) does, and its output, as Jordan's (1986) does.

h(t) = f(W_ih x(t) + W_hh h(t-1) + W_sh s(t-1) + b_h)
y(t) = g(W_ho h(t) + b_o)        s(t) = μ s(t-1) + y(t)
"""

from .activations import nonlinearity


def states(options, hidden_size):
    return {"h": hidden_size, "s": options["output_size"]}


def output_size(options, hidden_size, input_size):
    return options["output_size"]


def step(p, options, x, state):
    h, s = state
    f, g = nonlinearity(options, "tanh"), nonlinearity(options, "sigmoid", "output_nonlinearity")
    h_new = f(p["weight_ih"] @ x + p["weight_hh"] @ h + p["weight_sh"] @ s + p.get("bias_h", 0.0))
    y = g(p["weight_ho"] @ h_new + p.get("bias_o", 0.0))
    return y, (h_new, options.get("decay", 0.0) * s + y)
