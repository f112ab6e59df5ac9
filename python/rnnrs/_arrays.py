"""Arrays in: anything with ``__array__`` or ``__dlpack__`` becomes a NumPy array of the type that the model wants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._core import DtypeError, ShapeError

Array = NDArray[Any]


def array(value: Any, what: str) -> Array:
    """``value`` as a NumPy array of its own type, without a copy where there need be none.

    Raises ShapeError for ragged nested lists and DtypeError for what is no array of numbers.
    """
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            result = np.from_dlpack(value)
        else:
            result = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{what}: expected a rectangular array, got {_describe(value)}: {error}") from error
    except (TypeError, RuntimeError, BufferError) as error:
        raise DtypeError(f"{what}: expected an array of numbers, got {_describe(value)}: {error}") from error
    if result.dtype.kind not in "biufV" or result.dtype.names is not None:
        raise DtypeError(f"{what}: expected an array of numbers, got {_describe(value)} of dtype {result.dtype}")
    return result


def floats(value: Any, dtype: str, what: str) -> Array:
    """Real numbers in the model's type; integers and other floating types are converted."""
    result = array(value, what)
    try:
        # "V" is how NumPy sees the small floating types of other packages, such as bfloat16, which convert themselves.
        return result.astype(dtype, copy=False)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"{what}: expected {dtype}, got dtype {result.dtype}, which does not convert") from error


def exact(value: Any, dtype: str, what: str) -> Array:
    """A parameter: its type must be the model's already, for parameters are never converted."""
    if hasattr(value, "detach"):  # A torch parameter gives its array only without its gradient.
        value = value.detach()
    result = array(value, what)
    if result.dtype.newbyteorder("=") != np.dtype(dtype):
        raise DtypeError(f"{what}: expected {dtype}, got {result.dtype} (parameters are never converted; use .astype)")
    return result.astype(dtype, copy=False)


def integers(value: Any, what: str) -> NDArray[np.int64]:
    """Whole numbers (tokens, targets, lengths) as int64."""
    result = array(value, what)
    if result.dtype.kind not in "iu" and result.size:
        raise DtypeError(f"{what}: expected integers, got dtype {result.dtype}")
    if result.dtype == np.uint64 and result.size and result.max() > np.iinfo(np.int64).max:
        raise DtypeError(f"{what}: expected integers below 2**63, got {result.max()}")
    return result.astype(np.int64, copy=False)


def lengths(value: Any, batch: int) -> NDArray[np.int64] | None:
    """One length a row; whether each lies between zero and the number of steps is for the engine to say."""
    if value is None:
        return None
    result = integers(value, "lengths")
    if result.shape != (batch,):
        raise ShapeError(f"lengths: expected shape ({batch},), one length a row, got {result.shape}")
    return result


def _describe(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
