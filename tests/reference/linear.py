"""The linear layer, y = x Wᵀ + b (after Rosenblatt's perceptron, 1958, without its threshold), and "last"."""

import numpy as np


def linear(x, weight, bias=None):
    y = x @ weight.T
    return y if bias is None else y + bias


def last(y, lengths):
    """Of y (T, B, F) each row's last valid step, (B, F); zeros for a row of length zero."""
    rows = [y[n - 1, b] if n > 0 else np.zeros(y.shape[2]) for b, n in enumerate(lengths)]
    return np.stack(rows) if rows else np.zeros((0, y.shape[2]))
