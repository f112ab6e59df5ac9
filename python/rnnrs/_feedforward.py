"""Layers without time: Embedding, Linear, LayerNorm, BatchNorm, and, inside a Sequential, Dropout and Last."""

from __future__ import annotations

from typing import Any

from . import _arrays
from ._core import InvalidValueError
from ._layer import Layer
from ._spec import LayerSpec

Array = _arrays.Array


class Pointwise(Layer):
    """A layer that computes each point (each step of each row) by itself."""

    def __call__(self, x: Any) -> Array:
        """The output for x of any leading axes, in evaluation mode."""
        y: Array = self._run(x)[0]
        return y


class Embedding(Pointwise):
    """A row of a table for each token: y = weight[x].

    Args:
        num_embeddings: tokens are 0 to num_embeddings - 1.
        embedding_dim: width of a row.

    Parameter: weight (num_embeddings, embedding_dim), drawn from the standard normal distribution.

    >>> Embedding(256, 16, seed=0)([[1, 2, 3]]).shape
    (1, 3, 16)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, dtype: str | None = None, seed: int | None = None
    ) -> None:
        layer = {"layer": "embedding", "num_embeddings": num_embeddings, "embedding_dim": embedding_dim}
        self._make([layer], prefix=False, dtype=dtype, seed=seed)


class Linear(Pointwise):
    """y = W x + b.

    Parameters: weight (out_features, in_features) and bias (out_features,), drawn uniformly from
    +-1/sqrt(in_features).

    >>> Linear(3, 2, seed=0)([[1.0, 2.0, 3.0]]).shape
    (1, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        layer = {"layer": "linear", "in_features": in_features, "out_features": out_features, "bias": bool(bias)}
        self._make([layer], prefix=False, dtype=dtype, seed=seed)


class LayerNorm(Pointwise):
    """Layer normalisation (Ba, Kiros and Hinton 2016): y = weight * (x - mean) / sqrt(variance + eps) + bias.

    Mean and variance (the biased one) are over the features of a step. Parameters: weight and bias (features,), at
    first 1 and 0.
    """

    def __init__(self, features: int, eps: float = 1e-5, *, dtype: str | None = None, seed: int | None = None) -> None:
        self._make([{"layer": "layer_norm", "features": features, "eps": eps}], prefix=False, dtype=dtype, seed=seed)


class BatchNorm(Pointwise):
    """Batch normalisation (Ioffe and Szegedy 2015), over sequences (Laurent et al. 2016).

    y = weight * (x - mean) / sqrt(variance + eps) + bias

    In training (``fit``, ``record``, ``value_and_grad``) mean and variance (the biased one) of a feature are those over
    all valid steps of all rows of the batch, of which there must be two at least, and each such call moves

    running_mean <- running_mean + momentum * (mean - running_mean)

    and running_var alike, with the unbiased variance. Out of training, streams included, mean and variance are
    running_mean and running_var: then a row does not depend on its batch.

    Parameters (features,): weight and bias, at first 1 and 0; running_mean and running_var, at first 0 and 1, which are
    saved with the model but not trained, as if frozen. In training their gradient is 0.

    Args:
        features: width of x.
        eps: added to the variance.
        momentum: how far the running statistics move, above 0 and at most 1.
    """

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        layer = {"layer": "batch_norm", "features": features, "eps": eps, "momentum": momentum}
        self._make([layer], prefix=False, dtype=dtype, seed=seed)


class Part:
    """What has no width of its own, and so is a layer only inside a Sequential."""

    _spec: LayerSpec


class Dropout(Part):
    """Sets a unit to zero with probability ``p`` in training and scales the others by 1 / (1 - p).

    Srivastava et al. (2014). Drawn for each unit and step; in evaluation it does nothing. Inside a Sequential only.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p < 1.0:
            raise InvalidValueError(f"p: expected 0 <= p < 1, got {p}")
        self.p = float(p)
        self._spec = {"layer": "dropout", "p": self.p}

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


class Last(Part):
    """Each row's last valid step: (N, T, F) becomes (N, F); length zero gives zeros. Inside a Sequential only."""

    def __init__(self) -> None:
        self._spec = {"layer": "last"}

    def __repr__(self) -> str:
        return "Last()"
