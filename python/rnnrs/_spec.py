"""The JSON in which a chain of layers is described to the engine."""

from __future__ import annotations

import json
import operator
from typing import Any

from ._core import InvalidValueError

LayerSpec = dict[str, Any]


def dumps(value: Any) -> str:
    """JSON with NumPy's scalars taken as the numbers they are; NaN and infinities are refused."""
    try:
        return json.dumps(value, default=_number, allow_nan=False)
    except ValueError as error:
        raise InvalidValueError(f"options: expected finite numbers, got {value}") from error


def _number(value: Any) -> int | float:
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"options: expected a number, got {value!r}") from error


def chain(layers: list[LayerSpec], *, prefix: bool) -> str:
    """Layers one after the other; with ``prefix`` parameter names begin with the layer's number."""
    return dumps({"prefix": prefix, "layers": layers})
