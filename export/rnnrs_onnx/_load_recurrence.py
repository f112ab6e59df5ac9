"""A recurrent node in a traced graph: what x, states and lengths it is given, and where its results belong.

Y, Y_h and Y_c are labelled so that equal numbers have one label: without lengths, Y_h is a part of Y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

import rnnrs

from . import _load_cells
from ._load_cells import where
from ._load_labels import Labels, Moved, Source, Value

if TYPE_CHECKING:
    from ._load_trace import Trace


@dataclass(frozen=True)
class Start:
    """An initial state: an input of the graph, from this layer and direction on."""

    name: str
    offset: int


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A recurrent node: its cell, and what it is given besides x."""

    node: str
    cell: _load_cells.Cell
    starts: tuple[Start | None, ...]
    lengths: str | None
    layouts: frozenset[str]
    """The layouts in which the layer below may hold x; see ``layouts``."""


@dataclass(frozen=True, eq=False)
class LastStep:
    """Each row's last valid step: what is called Y_h where rows have lengths, and is no part of Y for a fixed step."""

    node: str


@dataclass(frozen=True, eq=False)
class FinalState:
    """Final states that are no part of y."""

    node: str


def below(source: Source | None) -> list[Recurrence]:
    """The recurrences from here down to the input."""
    found = []
    while source is not None:
        if isinstance(source.layer, Recurrence):
            found.append(source.layer)
        source = source.below
    return found


def layouts(outer: Labels, inner: Labels) -> frozenset[str]:
    """How ``outer`` may hold what ``inner`` holds as (T, B): as "TB", as "BT", or as "T", one sequence by itself."""
    return frozenset(name for name, laid in _laid(outer).items() if np.array_equal(laid, inner))


def _laid(outer: Labels) -> dict[str, Labels]:
    """What is (T, B) in each layout."""
    if outer.ndim == 2:
        return {"TB": outer, "BT": outer.T}
    return {"T": outer[:, None]} if outer.ndim == 1 else {}


def read(trace: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    """The results of an RNN, GRU or LSTM.

    Raises:
        UnsupportedError: no layer of rnnrs is such a cell, or none is given such inputs.
        FileError: weights do not fit.
    """
    place = where(node)
    given: list[Value | None] = [None] * 8
    given[: len(arguments)] = arguments
    x, w, r, b, lengths, h, c, p = given
    cell = _load_cells.read(node, trace.constants(node, {"W": w, "R": r, "B": b, "P": p}))
    if cell.batch_first:
        x, h, c = _swapped(x), _swapped(h), _swapped(c)
    if not isinstance(x, Moved):
        raise rnnrs.UnsupportedError(f"{place}: expected X to depend on the input of the graph, got a constant")
    source, numbers = trace.rows(node, x)
    if source.width != cell.input_size:
        raise rnnrs.FileError(f"{place}: expected {cell.input_size} features, as in W, got {source.width}")
    found, order = _order(source, numbers)
    if not found:
        raise rnnrs.UnsupportedError(
            f"{place}: expected X to hold every step and row of the layer below, in order, got a part or another order"
        )
    starts = tuple(_start(trace, place, state, order) for state in ([h, c] if node.op_type == "LSTM" else [h]))
    layer = Recurrence(place, cell, starts, _lengths(trace, place, lengths, len(numbers), order), found)
    y, finals = _results(trace, layer, source, numbers.shape, x.element)
    trace.finals[layer] = finals
    y, finals = y[:, :, order], [final[:, order] for final in finals]
    if cell.batch_first:
        y, finals = y.transpose(2, 0, 1, 3), [final.swapaxes(0, 1) for final in finals]
    return [Moved(labels, x.element) for labels in (y, *finals)]


def _swapped(value: Value | None) -> Value | None:
    """The first two axes the other way round."""
    if isinstance(value, Moved):
        return Moved(value.labels.swapaxes(0, 1), value.element)
    return None if value is None else value.swapaxes(0, 1)


def _order(source: Source, numbers: Labels) -> tuple[frozenset[str], Labels]:
    """The layouts in which the source may hold what are these numbers as (T, B), and the order of its rows in them.

    Rows may be in any order, for they do not see each other; torch sorts them by length.
    """
    found, order = set(), np.arange(numbers.shape[-1])
    for name, laid in _laid(source.numbers).items():
        # Above another recurrence it is settled which axis is time.
        if laid.shape == numbers.shape and (name == "TB" or not below(source)):
            places = np.searchsorted(laid[0], numbers[0]).clip(max=laid.shape[1] - 1)
            if np.array_equal(laid[:, places], numbers) and np.unique(places).size == places.size:
                found.add(name)
                order = places
    return frozenset(found), order


def _lengths(trace: Trace, place: str, value: Value | None, steps: int, order: Labels) -> str | None:
    """The input that gives the lengths; None where every row has all steps."""
    if value is None or (isinstance(value, np.ndarray) and (value == steps).all()):
        return None
    source = trace.register.of(value.labels) if isinstance(value, Moved) else None
    if (
        not isinstance(value, Moved)
        or source is None
        or source.rows != order.shape
        or not np.array_equal(value.labels, source.labels[order, 0])
    ):
        raise rnnrs.UnsupportedError(f"{place}: expected an input of the graph as sequence_lens, got other numbers")
    return source.name


def _start(trace: Trace, place: str, value: Value | None, order: Labels) -> Start | None:
    """The input that gives an initial state; None where it is zero."""
    if value is None or (isinstance(value, np.ndarray) and not value.any()):
        return None
    source = trace.register.of(value.labels) if isinstance(value, Moved) else None
    if not isinstance(value, Moved) or source is None or source.layer is not None:
        raise rnnrs.UnsupportedError(f"{place}: expected initial states of zero or an input of the graph, got others")
    labels = value.labels[:, np.argsort(order)].ravel()
    offset, rest = divmod(int(labels[0]) - source.first, value.labels[0].size)
    if rest or not np.array_equal(labels, labels[0] + np.arange(labels.size)):
        raise rnnrs.UnsupportedError(
            f"{place}: expected initial states as they lie in input {source.name!r}, got them in another order"
        )
    return Start(source.name, offset)


def _results(
    trace: Trace, layer: Recurrence, source: Source, rows: tuple[int, ...], element: int
) -> tuple[Labels, list[Labels]]:
    """The labels of Y (T, D, B, H), and of Y_h and Y_c (D, B, H), rows in the order of the source."""
    directions, hidden, (steps, batch) = len(layer.cell.directions), layer.cell.hidden_size, rows
    y = trace.register.new(layer.node, (steps, batch), directions * hidden, element, layer, source)
    labels = y.labels.reshape(steps, batch, directions, hidden)
    if layer.lengths is None:
        h = np.stack([labels[-1 if d == 0 else 0, :, d] for d in range(directions)])
    elif directions == 1:
        h = trace.register.new(layer.node, (batch,), hidden, element, LastStep(layer.node), y).labels[None]
    else:
        h = trace.register.new(layer.node, (2, batch), hidden, element, FinalState(layer.node), y).labels
    finals = [h]
    if len(layer.starts) == 2:
        c = trace.register.new(layer.node, (directions, batch), hidden, element, FinalState(layer.node), y)
        finals.append(c.labels)
    return labels.transpose(0, 2, 1, 3), finals
