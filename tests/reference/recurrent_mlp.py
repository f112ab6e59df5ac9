"""The recurrent multilayer perceptron: Puskorius and Feldkamp, "Neurocontrol of Nonlinear Dynamical Systems with Kalman
Filter Trained Recurrent Networks", IEEE Trans. Neural Networks 5(2), 1994.

Several hidden layers, each with its own recurrence and with feedback from the layer above it, of the step before:

    h_k(t) = f(W_k h_{k-1}(t) + U_k h_k(t-1) + V_k h_{k+1}(t-1) + b_k),        h_{-1} = x, the top layer without V
"""

from .activations import nonlinearity


def states(options, hidden_size):
    return {f"h{k}": hidden_size for k in range(options.get("num_hidden", 2))}


def step(p, options, x, state):
    f, below, new = nonlinearity(options, "tanh"), x, []
    for k, h in enumerate(state):
        a = p[f"weight_in_{k}"] @ below + p[f"weight_rec_{k}"] @ h + p.get(f"bias_{k}", 0.0)
        if options.get("feedback", True) and k + 1 < len(state):
            a = a + p[f"weight_back_{k}"] @ state[k + 1]
        below = f(a)
        new.append(below)
    return new[-1], tuple(new)
