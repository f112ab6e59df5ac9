"""Jordan's network: "Attractor Dynamics and Parallelism in a Connectionist Sequential Machine", CogSci 1986.

What feeds back is the output, through state units that remember their own past with a fixed decay μ:

    h(t) = f(W_ih x(t) + W_sh s(t-1) + b_h)        y(t) = g(W_ho h(t) + b_o)        s(t) = μ s(t-1) + y(t)
"""

from .activations import nonlinearity


def states(options, hidden_size):
    return {"s": options["output_size"]}


def output_size(options, hidden_size, input_size):
    return options["output_size"]


def step(p, options, x, state):
    (s,) = state
    f, g = nonlinearity(options, "tanh"), nonlinearity(options, "sigmoid", "output_nonlinearity")
    h = f(p["weight_ih"] @ x + p["weight_sh"] @ s + p.get("bias_h", 0.0))
    y = g(p["weight_ho"] @ h + p.get("bias_o", 0.0))
    # A new array also where the decay is zero: y is what was computed, and s a state that zoneout may hold.
    return y, (options.get("decay", 0.0) * s + y,)
