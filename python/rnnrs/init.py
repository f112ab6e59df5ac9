"""Initial values of parameters: what ``init`` of ``Cell.param`` and ``bias`` of ``Cell.linear`` take.

A number stands for ``Constant``. Draws are made from the seed of the model and the name of the parameter.
"""

from __future__ import annotations

import math
from typing import Any

from . import _spec
from ._core import DtypeError, InvalidValueError

__all__ = ["Between", "Constant", "Init", "Normal", "Uniform"]


class Init:
    """How a parameter starts."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec

    @property
    def spec(self) -> str:
        """The JSON in which the engine is told."""
        return _spec.dumps(self._spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Init) and self._spec == other._spec

    def __hash__(self) -> int:
        return hash(self.spec)

    def __repr__(self) -> str:
        [value] = self._spec.values()
        numbers = value.values() if isinstance(value, dict) else [value]
        return f"{type(self).__name__}({', '.join(map(str, numbers))})"


class Uniform(Init):
    """Uniform in [-bound, bound)."""

    def __init__(self, bound: float) -> None:
        super().__init__({"uniform": _number(bound, "bound", least=0.0)})


class Between(Init):
    """Uniform in [low, high)."""

    def __init__(self, low: float, high: float) -> None:
        ends = {"from": _number(low, "low"), "to": _number(high, "high")}
        if not ends["from"] <= ends["to"]:
            raise InvalidValueError(f"Between: expected low <= high, got {low} and {high}")
        super().__init__({"between": ends})


class Normal(Init):
    """Normal with mean 0 and this standard deviation."""

    def __init__(self, deviation: float) -> None:
        super().__init__({"normal": _number(deviation, "deviation", least=0.0)})


class Constant(Init):
    """The same number everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__({"constant": _number(value, "value")})


def resolve(init: Init | float) -> Init:
    """``init``, a number taken as ``Constant``."""
    return init if isinstance(init, Init) else Constant(_number(init, "init"))


def _number(value: Any, what: str, least: float = -math.inf) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"{what}: expected a number, got {value!r}") from error
    if not (math.isfinite(number) and number >= least):
        wanted = "a finite number" if least == -math.inf else f"a finite number of at least {least}"
        raise InvalidValueError(f"{what}: expected {wanted}, got {number}")
    return number
