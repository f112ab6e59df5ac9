"""Derivatives by central differences, of the fourth order: f' = (8 (f₊₁ - f₋₁) - (f₊₂ - f₋₂)) / 12 h, error O(h⁴)."""

import numpy as np

# The larger steps suit smooth functions, where rounding is the only error; the smaller ones those that curve strongly:
# layer normalisation of nearly equal numbers turns within 1e-6.
STEPS = (1e-3, 2e-4, 5e-5, 1e-5, 2e-6, 3e-7, 5e-8, 1e-8, 2e-9)


def central(f, h):
    """The derivative at zero of a function of one number."""
    return (8.0 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12.0 * h)


def agrees(f, expected, rtol=1e-6, atol=1e-8):
    """Whether the derivative of f at zero is what was expected; the nearest estimate where not."""
    estimates = []
    for h in STEPS:
        estimate = central(f, h)
        if abs(estimate - expected) <= atol + rtol * abs(expected):
            return True, estimate
        estimates.append(estimate)
    return False, min(estimates, key=lambda e: abs(e - expected))


def directions(shape, rng, limit):
    """Unit directions to try in an array: its elements, or some where they are many; and one that mixes all."""
    size = int(np.prod(shape))
    chosen = range(size) if size <= limit else rng.choice(size, limit, replace=False)
    for k in chosen:
        e = np.zeros(size)
        e[k] = 1.0
        yield e.reshape(shape)
    if size > 1:
        d = rng.normal(size=size)
        yield (d / np.linalg.norm(d)).reshape(shape)
