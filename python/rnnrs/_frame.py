"""Frames: how the leading axes of a call's arrays lie outside, and as the engine wants them: steps and rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from . import _arrays, _core
from ._core import ShapeError

Array = _arrays.Array


class Frame(NamedTuple):
    """The leading axes of x and y (all but the features), outside and inside."""

    outer: tuple[int, ...]
    inner: tuple[int, int]
    batch_first: bool
    batched: bool

    @property
    def batch(self) -> int:
        """How many rows."""
        return self.inner[0 if self.batch_first else 1]

    def enter(self, array: Array) -> Array:
        """From outside to inside; features stay as they are."""
        return array.reshape(self.inner + array.shape[len(self.outer) :])

    def leave(self, array: Array, *, steps: bool = True) -> Array:
        """From inside to outside; without ``steps`` the array is one result a row already."""
        return array.reshape(self.outer + array.shape[2:]) if steps else array


def load(model: _core.Model, x: Any, what: str = "x") -> tuple[Array, int]:
    """The input array in the type that the model wants, and how many axes its features take (tokens: none)."""
    kind, width = model.input
    if kind == "tokens":
        return _arrays.integers(x, what), 0
    array = _arrays.floats(x, model.dtype, what)
    if array.ndim == 0 or array.shape[-1] != width:
        raise ShapeError(f"{what}: expected {width} features in the last axis, got shape {array.shape}")
    return array, 1


def sequence(array: Array, features: int, *, batch_first: bool) -> Frame:
    """(T, B, ...), (B, T, ...) with ``batch_first``, or one sequence (T, ...) without a batch."""
    lead = array.shape[: array.ndim - features]
    if len(lead) == 1:
        return Frame(lead, (1, lead[0]) if batch_first else (lead[0], 1), batch_first, batched=False)
    if len(lead) != 2:
        axes = "(B, T, ...)" if batch_first else "(T, B, ...)"
        raise ShapeError(f"x: expected {axes} or (T, ...), got shape {array.shape}")
    return Frame(lead, (lead[0], lead[1]), batch_first, batched=True)


def chain(array: Array, features: int) -> Frame:
    """(N, T, ...): what Sequential, fit and predict always take."""
    lead = array.shape[: array.ndim - features]
    if len(lead) != 2:
        raise ShapeError(f"x: expected {'(N, T, F)' if features else '(N, T) tokens'}, got shape {array.shape}")
    return Frame(lead, (lead[0], lead[1]), batch_first=True, batched=True)


def points(array: Array, features: int) -> Frame:
    """Any leading axes: each point is computed by itself."""
    lead = array.shape[: array.ndim - features]
    return Frame(lead, (1, math.prod(lead)), batch_first=True, batched=True)


def step(array: Array, features: int) -> Frame:
    """(B, ...), or (...) without a batch: one step."""
    lead = array.shape[: array.ndim - features]
    if len(lead) > 1:
        raise ShapeError(f"x: expected one step, (B, F) or (F,), got shape {array.shape}")
    return Frame(lead, (1, lead[0] if lead else 1), batch_first=False, batched=bool(lead))
