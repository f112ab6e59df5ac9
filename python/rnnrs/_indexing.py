"""What ``x[...]`` of a symbol means: parts along each axis, single elements, elements at indices that are symbols."""

from __future__ import annotations

import operator
from typing import Any

from . import _lines, _symbols
from ._core import DtypeError, ShapeError, UnsupportedError
from ._symbols import Symbol


def item(value: Symbol, key: Any) -> Symbol:
    """``value[key]``: for each axis an integer, a slice of step 1, or (along the first) a symbol of indices."""
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) > value.ndim:
        raise _lines.error(
            ShapeError, f"[]: expected at most {value.ndim} indices for shape {value.shape}, got {len(keys)}"
        )
    if any(isinstance(k, Symbol) for k in keys):
        return _at(value, keys)
    shape: list[int] = []
    for axis, k in enumerate(keys):
        start, stop, single = _range(k, value.shape[axis])
        if (start, stop) != (0, value.shape[axis]):
            value = part(value, start, stop, axis)
        if not single:
            shape.append(stop - start)
    return _symbols.reshape(value, (*shape, *value.shape[len(keys) :]))


def part(value: Symbol, start: int, stop: int, axis: int) -> Symbol:
    """Elements ``start`` to ``stop`` along an axis."""
    return _symbols.apply("slice", value, **{"from": start, "to": stop}, **({"axis": axis} if axis else {}))


def _at(value: Symbol, keys: tuple[Any, ...]) -> Symbol:
    """Elements at an index, or at several, that is known only when the cell runs."""
    from . import ops

    if len(keys) != 1 or keys[0].kind != "int":
        raise _lines.error(DtypeError, "[]: expected one index (of ops.argmax or ops.argsort), got another symbol")
    [index] = keys
    if index.shape == ():
        if value.ndim == 1:
            return ops.pick(value, index)
        if not value.varies:
            return ops.gather(value, index)
        return ops.matmul(ops.one_hot(index, value.shape[0]), value)
    return ops.take(value, index)


def _range(key: Any, extent: int) -> tuple[int, int, bool]:
    """First, one past the last, and whether the axis goes."""
    if isinstance(key, slice):
        try:
            start, stop, step = key.indices(extent)
        except TypeError:
            raise _lines.error(DtypeError, f"[]: expected a slice of integers, got {key}") from None
        if step != 1:
            raise _lines.error(UnsupportedError, f"[]: expected a slice of step 1 (else ops.take), got step {step}")
        if start >= stop:
            raise _lines.error(ShapeError, f"[]: expected at least one element, got {start}:{stop} of {extent}")
        return start, stop, False
    try:
        index = operator.index(key)
    except TypeError:
        raise _lines.error(DtypeError, f"[]: expected integers and slices, got {key!r}") from None
    if not -extent <= index < extent:
        raise _lines.error(ShapeError, f"[]: expected an index within an extent of {extent}, got {index}")
    index %= extent
    return index, index + 1, True
