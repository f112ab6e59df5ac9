"""From the outputs of a traced graph back to its input: the chain of layers whose results they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

import rnnrs

from . import _load_recurrence
from ._load_labels import Labels, Moved, Source
from ._load_operators import Pointwise
from ._load_recurrence import FinalState, LastStep, Recurrence
from ._load_trace import Trace

Link = Recurrence | Pointwise | LastStep

_LAST = frozenset({"last"})


@dataclass(frozen=True)
class Chain:
    """The layers of a graph, from input to output."""

    links: Sequence[Link]
    batch_first: bool

    @property
    def nodes(self) -> tuple[list[str], bool]:
        """What must not depend on sizes."""
        return [f"{type(link).__name__} {link.node}" for link in self.links], self.batch_first


def find(trace: Trace, graph: onnx.GraphProto) -> Chain:
    """The chain of layers whose y and final states are the outputs of the graph.

    Raises:
        UnsupportedError: an output is something else, or layers and outputs disagree about axes or lengths.
    """
    outputs: dict[str, Labels] = {}
    for output in graph.output:
        value = trace.values[output.name]
        if not isinstance(value, Moved):
            raise rnnrs.UnsupportedError(f"output {output.name!r}: expected results of layers, got a constant")
        outputs[output.name] = value.labels
    name, top, forms = _top(trace, outputs)
    below = _load_recurrence.below(top)
    finals = _finals(trace, below)
    for other, labels in outputs.items():
        if not np.isin(labels, finals).all() and _form(trace, labels) != (top, forms):
            raise _neither(other)
    if len({layer.lengths for layer in below}) > 1:
        raise rnnrs.UnsupportedError(
            f"{below[0].node}: expected the sequence_lens of {below[-1].node}, for lengths are those of a whole model"
        )
    links = _down(top)[::-1]
    if forms == _LAST and not any(isinstance(link, LastStep) for link in links):
        # The layers above the recurrence compute each point by itself, so the last step may be taken before them.
        links.insert(links.index(below[0]) + 1, LastStep(name))
    return Chain(links, bool(below) and _batch_first(name, below[-1].layouts, forms))


def _batch_first(name: str, given: frozenset[str], wanted: frozenset[str]) -> bool:
    common = given if wanted == _LAST else given & wanted
    if not common:
        raise rnnrs.UnsupportedError(
            f"output {name!r}: expected steps T and rows B as in the input, {' or '.join(sorted(given))}, got "
            f"{' or '.join(sorted(wanted))}"
        )
    return "BT" in common and "TB" not in common


def _top(trace: Trace, outputs: Mapping[str, Labels]) -> tuple[str, Source, frozenset[str]]:
    """The output that is y, where its numbers come from, and which part of them it holds; see ``_form``."""
    found = [(name, *form) for name, labels in outputs.items() if (form := _form(trace, labels))]
    for name, source, forms in sorted(found, key=lambda item: item[2] == _LAST):
        return name, source, forms
    # A file may also give final states alone.
    for source in reversed(trace.register.sources):
        if isinstance(source.layer, Recurrence):
            finals = _finals(trace, [source.layer])
            for name, labels in outputs.items():
                if np.isin(labels, finals).any():
                    return name, source, source.layer.layouts
    raise _neither(next(iter(outputs)))


def _form(trace: Trace, labels: Labels) -> tuple[Source, frozenset[str]] | None:
    """The layer of which this is y, and which part of y: the layouts that it may have, or the last step; else None."""
    found = trace.register.rows(labels)
    if found is None or found[0].layer is None or isinstance(found[0].layer, FinalState):
        return None
    source, numbers = found
    below, inner = _load_recurrence.below(source), source.numbers
    if not below:
        return (source, frozenset()) if np.array_equal(numbers, inner) else None
    if inner.ndim == 2 and (forms := _load_recurrence.layouts(numbers, inner)):
        return source, forms
    # Where rows have lengths, the last of all steps is not each row's own.
    ends = inner if inner.ndim == 1 else inner[-1] if below[0].lengths is None else inner[:0]
    return (source, _LAST) if np.array_equal(numbers.ravel(), ends) else None


def _finals(trace: Trace, layers: Sequence[Recurrence]) -> Labels:
    none = np.empty(0, np.int64)
    return np.concatenate([none] + [labels.ravel() for layer in layers for labels in trace.finals[layer]])


def _neither(output: str) -> rnnrs.UnsupportedError:
    return rnnrs.UnsupportedError(
        f"output {output!r}: expected y of every step or of the last one, or final states, got other numbers"
    )


def _down(source: Source | None) -> list[Link]:
    found = []
    while source is not None and source.layer is not None:
        found.append(source.layer)
        source = source.below
    return found
