"""Losses as the engine takes them: names and objects to JSON, targets and weights to arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _arrays
from ._core import DtypeError, InvalidValueError, ShapeError
from ._spec import dumps

Array = _arrays.Array
LossFunction = Callable[..., tuple[Any, Any]]


class Loss:
    """A loss that the engine computes, with its gradient."""

    spec: str
    classes = False

    def __init__(self, name: str, **options: Any) -> None:
        self.spec = dumps({"loss": name, **options})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec})"

    def targets(self, value: Any, dtype: str, lead: tuple[int, ...], outputs: int) -> Array:
        """Targets with the leading axes ``lead`` of the outputs."""
        if self.classes:
            array: Array = _arrays.integers(value, "y")
            shape = lead
        else:
            array = _arrays.floats(value, dtype, "y")
            shape = (*lead, outputs)
        if array.shape != shape:
            raise ShapeError(f"y: expected targets of shape {shape}, got {array.shape}")
        return array


LossLike = str | Loss | LossFunction


def resolve(loss: Any) -> Loss | LossFunction:
    """A loss by name, as an object, or the user's own function."""
    from . import losses

    if isinstance(loss, str):
        named: dict[str, Callable[[], Loss]] = {
            "cross_entropy": losses.CrossEntropy,
            "mse": losses.MSE,
            "bernoulli": losses.Bernoulli,
        }
        if loss not in named:
            raise InvalidValueError(f"loss: expected one of {', '.join(named)}, an object or a function, got {loss!r}")
        return named[loss]()
    if not isinstance(loss, Loss) and not callable(loss):
        raise DtypeError(f"loss: expected a name, a loss object or a function, got {type(loss).__name__}")
    chosen: Loss | LossFunction = loss
    return chosen


def call(function: LossFunction, y_pred: Array, y_true: Any, mask: Any) -> tuple[float, Any]:
    """The user's function, and what it owes: a value and the gradient with respect to y_pred."""
    result = function(y_pred, y_true) if mask is None else function(y_pred, y_true, mask)
    try:
        value, gradient = result
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"loss: expected (value, gradient) from your function, got {result!r}") from error
    return float(value), gradient


def weights(mask: Any, dtype: str, shape: tuple[int, ...]) -> Array | None:
    """A mask as the weights of the steps."""
    if mask is None:
        return None
    array = _arrays.floats(mask, dtype, "mask")
    if array.shape != shape:
        raise ShapeError(f"mask: expected shape {shape}, got {array.shape}")
    return array
