"""Metrics: what is measured beside the loss, as means over the valid steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._core import InvalidValueError

__all__ = ["Metric", "MetricLike", "accuracy"]

Array = NDArray[Any]
Metric = Callable[[Array, Array, Array], float]
MetricLike = str | Metric


def accuracy(y_pred: Array, y_true: Array, weights: Array) -> float:
    """The weighted share of steps whose highest output is the target class.

    For targets in the shape of the outputs (binary units, outputs being logits): the share of units on the right side.
    """
    if y_true.ndim == y_pred.ndim - 1:
        right = (y_pred.argmax(axis=-1) == y_true).astype(np.float64)
    else:
        right = ((y_pred > 0) == (y_true > 0.5)).mean(axis=-1)
    return float((right * weights).sum() / weights.sum())


def resolve(metrics: Sequence[MetricLike]) -> dict[str, Metric | None]:
    """Metrics by name; ``bits``, which is the loss in another unit, has no function."""
    found: dict[str, Metric | None] = {}
    for metric in metrics:
        if metric == "accuracy":
            found["accuracy"] = accuracy
        elif metric == "bits":
            found["bits"] = None
        elif callable(metric):
            found[getattr(metric, "__name__", type(metric).__name__)] = metric
        else:
            raise InvalidValueError(f"metrics: expected 'accuracy', 'bits' or a function, got {metric!r}")
    return found
