"""The linear recurrent unit: Orvieto et al., "Resurrecting Recurrent Neural Networks for Long Sequences", ICML 2023.

    λ = exp(-exp(ν_log) + i exp(θ_log))        γ = exp(γ_log) √(1 - |λ|²)
    h(t) = λ ⊙ h(t-1) + γ ⊙ (B x(t))           y(t) = Re(C h(t)) + D x(t)        in complex numbers (section 3)

D is a gain for each feature where y is as wide as x, and a matrix where not. The states are Re h and Im h.
"""

import numpy as np


def states(options, hidden_size):
    return {"re": hidden_size, "im": hidden_size}


def output_size(options, hidden_size, input_size):
    return options.get("output_size") or input_size


def step(p, options, x, state):
    h = state[0] + 1j * state[1]
    eigenvalue = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
    gain = np.exp(p["gamma_log"]) * np.sqrt(1.0 - np.abs(eigenvalue) ** 2)
    h = eigenvalue * h + gain * ((p["B_re"] + 1j * p["B_im"]) @ x)
    through = p["D"] * x if p["D"].ndim == 1 else p["D"] @ x
    return ((p["C_re"] + 1j * p["C_im"]) @ h).real + through, (h.real, h.imag)
