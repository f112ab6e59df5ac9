"""How far an exported model on a device is from the engine: two calls, of which the second goes on from the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnnrs
from rnnrs_onnx import Session

Array = NDArray[Any]
STEPS = 4
"""Of each of the two calls."""


def difference(model: rnnrs.Sequential, session: Session, rows: int, seed: int = 0) -> float:
    """The largest |a - b| / (1 + |b|) of the outputs and the final states.

    Where the model was exported with lengths, the rows have all from none to STEPS. The session is left reset.
    """
    session.reset()
    compare = {"sequence": _sequence, "step": _step, "loop": _loop}[session.mode]
    pairs = compare(model, session, rows, np.random.default_rng(seed))
    largest = max(_apart(np.asarray(ours), np.asarray(theirs)) for ours, theirs in pairs)
    session.reset()
    return largest


def _apart(ours: Array, theirs: Array) -> float:
    """NaN counts as infinitely far."""
    assert ours.shape == theirs.shape, f"shape {theirs.shape}, expected {ours.shape}"
    apart = np.abs(theirs.astype(np.float64) - ours) / (1 + np.abs(ours))
    return float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))


Pairs = Iterator[tuple[Array, Array]]


def _sequence(model: rnnrs.Sequential, session: Session, rows: int, random: np.random.Generator) -> Pairs:
    state: Any = None
    for _ in range(2):
        x = _x(session, random, rows, STEPS)
        lengths = np.resize(np.arange(STEPS, -1, -1), rows) if session.options["lengths"] else None
        y, state = model(x.astype(model.dtype), lengths, state=state, return_state=True)
        yield y, session(x, lengths)
    yield from _states(state, session)


def _step(model: rnnrs.Sequential, session: Session, rows: int, random: np.random.Generator) -> Pairs:
    stream = model.stream(rows)
    for _ in range(2):
        x = _x(session, random, rows)
        yield stream.step(x.astype(model.dtype)), session(x)
    yield from _states(stream.state, session)


def _loop(model: rnnrs.Sequential, session: Session, rows: int, random: np.random.Generator) -> Pairs:
    stream = model.stream(rows)
    for _ in range(2):
        start = _x(session, random, rows, name="start")
        y, made = start.astype(model.dtype), []
        for _ in range(STEPS):
            y = stream.step(y)
            made.append(y)
        yield np.stack(made, axis=1), session.generate(start, STEPS)
    yield from _states(stream.state, session)


def _x(session: Session, random: np.random.Generator, *lead: int, name: str = "x") -> Array:
    """In the dtype of the file, so that both sides are given the same numbers."""
    dtype, shape = session.inputs[name]
    return random.normal(size=(*lead, int(shape[-1]))).astype(dtype)


def _states(state: Any, session: Session) -> Pairs:
    """The arrays of a state in any form, beside those of a session by name: both are in the order of the layers."""
    if session.options["zero_state"]:
        return
    yield from zip(_flat(state), session.state.values(), strict=True)


def _flat(state: Any) -> Iterator[Array]:
    if isinstance(state, tuple):
        for part in state:
            yield from _flat(part)
    else:
        yield state
