"""The losses and their gradients: weighted means over the valid steps, in nats a step where they are likelihoods.

cross-entropy   l = -log softmax(y)[target]; a target equal to ignore_index counts for nothing
bernoulli       l = -Σ_units  t log σ(y) + (1 - t) log(1 - σ(y)), y being logits (Bishop, PRML, 2006, eq. 4.90)
mse             l = mean over units of (y - t)²

loss = Σ w l / Σ w, and 0 with zero gradients where Σ w = 0.
"""

import numpy as np

from .activations import log_softmax, sigmoid


def step_losses(loss, y, targets, ignore_index=-100):
    """l (...,), its gradient with respect to y (..., F), and which steps count (...,)."""
    counts = np.ones(y.shape[:-1], dtype=bool)
    if loss == "cross_entropy":
        counts = targets != ignore_index
        one_hot = np.eye(y.shape[-1])[np.where(counts, targets, 0)]
        log_p = log_softmax(y)
        return -(one_hot * log_p).sum(-1), np.exp(log_p) - one_hot, counts
    if loss == "bernoulli":
        value = np.maximum(y, 0) - y * targets + np.log1p(np.exp(-np.abs(y)))
        return value.sum(-1), sigmoid(y) - targets, counts
    if loss == "mse":
        return ((y - targets) ** 2).mean(-1), 2.0 * (y - targets) / y.shape[-1], counts
    raise ValueError(loss)


def weighted(loss, y, targets, weights=None, lengths=None, ignore_index=-100):
    """For y (T, B, F) or (B, F): the loss, Σ w, and the gradient with respect to y."""
    y = np.asarray(y, dtype=np.float64)
    value, gradient, counts = step_losses(loss, y, targets, ignore_index)
    w = np.ones(value.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if lengths is not None and y.ndim == 3:
        counts = counts & (np.arange(y.shape[0])[:, None] < np.asarray(lengths)[None, :])
    w = np.where(counts, w, 0.0)
    total = w.sum()
    if total == 0:
        return 0.0, 0.0, np.zeros_like(y)
    value, gradient = np.where(w != 0, value, 0.0), np.where((w != 0)[..., None], gradient, 0.0)
    return float((w * value).sum() / total), float(total), w[..., None] / total * gradient
