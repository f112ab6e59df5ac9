"""The continuous-time network: Funahashi and Nakamura, "Approximation of Dynamical Systems by Continuous Time Recurrent
Neural Networks", Neural Networks 6(6), 1993.

    τ du/dt = -u + W_ih x + b + W_hh f(u),        y = f(u)

integrated over dt in equal substeps with x held, by Euler's method or the classical one of Runge and Kutta (1901). With
timestamps the last feature of x is the time that has passed since the step before, in units of dt.
"""

import numpy as np

from .activations import nonlinearity


def states(options, hidden_size):
    return {"h": hidden_size}


def step(p, options, x, state):
    (u,) = state
    f, dt = nonlinearity(options, "tanh"), options.get("dt", 1.0)
    if options.get("timestamps"):
        x, dt = x[:-1], dt * x[-1]
    tau = np.exp(p["log_tau"]) if options.get("learn_time_constants") else options.get("time_constant", 1.0)
    drive = p["weight_ih"] @ x + p.get("bias", 0.0)

    def slope(u):
        return (drive + p["weight_hh"] @ f(u) - u) / tau

    n = options.get("substeps", 1)
    e = dt / n
    for _ in range(n):
        k1 = slope(u)
        if options.get("method", "euler") == "euler":
            u = u + e * k1
        else:
            k2 = slope(u + 0.5 * e * k1)
            k3 = slope(u + 0.5 * e * k2)
            k4 = slope(u + e * k3)
            u = u + e / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return f(u), (u,)
