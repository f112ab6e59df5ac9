"""Batch normalisation: Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2; over sequences:
Laurent, Pereyra, Brakel, Zhang and Bengio, "Batch Normalized Recurrent Neural Networks", ICASSP 2016, section 3.3.

The running statistics are a moving average, as in every library, where algorithm 2 averages over batches afterwards.
"""

import numpy as np


def frozen(x, weight, bias, mean, variance, eps=1e-5):
    return weight * (x - mean) / np.sqrt(variance + eps) + bias


def training(x, lengths, weight, bias, eps=1e-5):
    """x (T, B, F): y, 0 beyond a row's length; mean and unbiased variance over all valid steps."""
    rows = [(t, b) for b, n in enumerate(lengths) for t in range(n)]
    seen = np.array([x[t, b] for t, b in rows])
    mean, variance = seen.mean(axis=0), seen.var(axis=0)
    y = np.zeros_like(x)
    for t, b in rows:
        y[t, b] = frozen(x[t, b], weight, bias, mean, variance, eps)
    return y, mean, variance * len(rows) / (len(rows) - 1)
