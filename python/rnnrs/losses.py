"""Losses: what a model is trained to make small, each given by its equation and in its unit.

Where steps are many the loss is the weighted mean over the valid steps, sum(w l) / sum(w): steps at or beyond a row's
length do not count, and ``mask`` gives the weights w (otherwise 1).
"""

from __future__ import annotations

from ._losses import Loss

__all__ = ["MSE", "Bernoulli", "CrossEntropy", "Loss"]


class CrossEntropy(Loss):
    """Softmax and the negative log-likelihood of the target class: l = log(sum_j exp(y_j)) - y_target, in nats a step.

    Divide by log(2) for bits a step. Targets are integers (N, T), or (N,) where the model gives one result a row; a
    step whose target is ``ignore_index`` does not count.
    """

    classes = True

    def __init__(self, ignore_index: int = -100) -> None:
        super().__init__("cross_entropy", ignore_index=ignore_index)
        self.ignore_index = ignore_index


class MSE(Loss):
    """The mean over the units of the squared error: l = mean_j (y_j - target_j)^2, in squared units of the target."""

    def __init__(self) -> None:
        super().__init__("mse")


class Bernoulli(Loss):
    """The negative log-likelihood of independent binary units, y being logits, in nats a step.

    l = sum_j softplus(y_j) - target_j y_j, with targets in [0, 1]: the loss of polyphonic music, for one.
    """

    def __init__(self) -> None:
        super().__init__("bernoulli")
