"""Whole numbers from the caller: counts and limits that the engine takes as they are."""

from __future__ import annotations

import operator
from typing import Any

from ._core import DtypeError, InvalidValueError


def count(value: Any, what: str, least: int = 1) -> int:
    """An integer from ``least`` up to what fits 63 bits."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise DtypeError(f"{what}: expected an integer, got {type(value).__name__}") from error
    if not least <= number < 2**63:
        raise InvalidValueError(f"{what}: expected at least {least}, got {number}")
    return number


def optional(value: Any, what: str, least: int = 1) -> int | None:
    """The same, or None."""
    return None if value is None else count(value, what, least)
