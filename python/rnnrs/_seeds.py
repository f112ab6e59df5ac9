"""Seeds: where the numbers come from that key the engine's random draws, and how one seed becomes many."""

from __future__ import annotations

import itertools
import operator
import secrets

from ._core import DtypeError, InvalidValueError

_WORD = (1 << 64) - 1


def check(seed: int | None) -> int | None:
    """A user's seed: None, or a whole number that fits 64 bits."""
    if seed is None:
        return None
    try:
        value = operator.index(seed)
    except TypeError as error:
        raise DtypeError(f"seed: expected an integer or None, got {type(seed).__name__}") from error
    if not 0 <= value <= _WORD:
        raise InvalidValueError(f"seed: expected 0 <= seed < 2**64, got {value}")
    return value


def mix(seed: int, *path: int) -> int:
    """One seed for each path of counts, by the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    word = seed
    for count in path:
        word = (word + (count + 1) * 0x9E3779B97F4A7C15) & _WORD
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
        word ^= word >> 31
    return word


class Draws:
    """The seeds of a model's calls, one after the other: reproducible when the model has a seed of its own."""

    def __init__(self, seed: int | None) -> None:
        self._seed = secrets.randbits(64) if seed is None else seed
        self._count = itertools.count()

    def seed(self, given: int | None = None) -> int:
        """The caller's own seed where there is one, else the next."""
        checked = check(given)
        return mix(self._seed, next(self._count)) if checked is None else checked
