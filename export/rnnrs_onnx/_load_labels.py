"""Where the numbers of a tensor come from: each has a label, and what only moves numbers is run on the labels.

An exporter surrounds its layers with Transpose, Reshape, Slice and the like, in as many ways as there are exporters.
Instead of patterns of such nodes, the importer runs them, as they stand, on integers that say which number of which
source stands where; then the next layer's input is the last one's output if its labels are.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

import rnnrs

from ._load_cells import where

Array = NDArray[Any]
Labels = NDArray[np.int64]

MOVES = frozenset(
    [
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ]
)
"""The operators that move numbers and compute none."""

_RANDOM = frozenset(
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]
)


@dataclass(frozen=True)
class Moved:
    """A tensor whose numbers are known by their labels alone."""

    labels: Labels
    element: int
    """Its element type, of ``onnx.TensorProto``."""


Value = Array | Moved


@dataclass(frozen=True, eq=False)
class Source:
    """Numbers that come from one place, (rows..., width): an input, or what a layer computes of another source."""

    name: str
    first: int
    """The label of its first number; the others follow, the last axis fastest."""
    rows: tuple[int, ...]
    width: int
    element: int
    layer: Any = None
    below: Source | None = None

    @property
    def numbers(self) -> Labels:
        """The numbers of its rows, each in its place."""
        return np.arange(math.prod(self.rows), dtype=np.int64).reshape(self.rows)

    @property
    def labels(self) -> Labels:
        """The labels of all its numbers."""
        return self.moved(self.numbers).labels

    def moved(self, numbers: Labels) -> Moved:
        """The rows of these numbers."""
        return Moved(self.first + numbers[..., None] * self.width + np.arange(self.width), self.element)


@dataclass
class Register:
    """All sources of a graph."""

    sources: list[Source] = field(default_factory=list)
    free: int = 0

    def new(
        self,
        name: str,
        rows: tuple[int, ...],
        width: int,
        element: int,
        layer: Any = None,
        below: Source | None = None,
    ) -> Source:
        """A source with labels of its own."""
        source = Source(name, self.free, rows, width, element, layer, below)
        self.sources.append(source)
        self.free += math.prod(rows) * width
        return source

    def of(self, labels: Labels) -> Source | None:
        """The one source of all these labels, or None."""
        if not labels.size:
            return None
        source = self.sources[bisect.bisect_right(self.sources, labels.min(), key=lambda s: s.first) - 1]
        return source if labels.max() < source.first + math.prod(source.rows) * source.width else None

    def rows(self, labels: Labels) -> tuple[Source, Labels] | None:
        """The one source whose rows the last axis runs along, and their numbers; None where it runs along others."""
        source = self.of(labels)
        if source is None or labels.shape[-1:] != (source.width,):
            return None
        numbers = (labels[..., 0] - source.first) // source.width
        return (source, numbers) if np.array_equal(source.moved(numbers).labels, labels) else None


def run(node: onnx.NodeProto, opset: int, arguments: Sequence[Array | None]) -> list[Array]:
    """The node's results for these arguments.

    Raises:
        UnsupportedError: the node draws at random, has graphs inside, or does not take these arguments.
    """
    place = where(node)
    if node.op_type in _RANDOM:
        raise rnnrs.UnsupportedError(f"{place}: expected what is the same in every run, got random numbers")
    if any(item.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for item in node.attribute):
        raise rnnrs.UnsupportedError(f"{place}: expected a graph without conditions and loops, got one")
    given = {name: array for name, array in zip(node.input, arguments, strict=True) if array is not None}
    graph = onnx.helper.make_graph(
        [node],
        "node",
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in given],
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name],
    )
    try:
        results = ReferenceEvaluator(graph, opsets={"": opset}).run(None, given)
    except Exception as error:  # The evaluator has no errors of its own: it raises whatever NumPy does.
        shapes = ", ".join(str(array.shape) for array in given.values())
        raise rnnrs.UnsupportedError(f"{place}: expected to take inputs of shapes {shapes}, got {error}") from error
    return [np.asarray(result) for result in results]


def move(node: onnx.NodeProto, opset: int, arguments: Sequence[Value | None]) -> list[Moved]:
    """The node's results where it moves numbers that are known by their labels."""
    place = where(node)
    element = next(value.element for value in arguments if isinstance(value, Moved))
    plain: list[Array | None] = []
    for index, value in enumerate(arguments):
        data = node.op_type == "Concat" or index == 0
        if isinstance(value, Moved) and not data:
            raise rnnrs.UnsupportedError(
                f"{place}: expected constants as input {node.input[index]!r}, got what depends on the model's input"
            )
        if isinstance(value, np.ndarray) and data:
            raise rnnrs.UnsupportedError(
                f"{place}: expected to join results of layers only, got the constant {node.input[index]!r} among them"
            )
        plain.append(value.labels if isinstance(value, Moved) else value)
    return [Moved(labels, element) for labels in run(node, opset, plain)]


def shapes(graph: onnx.GraphProto, least: int) -> dict[str, tuple[int, ...]]:
    """A shape for each input: every size that is left open gets one of its own, from ``least`` on.

    Raises:
        UnsupportedError: an input that is no tensor, or whose rank is unknown.
    """
    named: dict[str, int] = {}
    found = {}
    for given in graph.input:
        kind = given.type.tensor_type
        if not given.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise rnnrs.UnsupportedError(f"input {given.name!r}: expected a tensor of known rank, got another input")
        shape = []
        for axis, dimension in enumerate(kind.shape.dim):
            if dimension.HasField("dim_value"):
                shape.append(int(dimension.dim_value))
            else:
                name = dimension.dim_param or f"{given.name}[{axis}]"
                shape.append(named.setdefault(name, least + len(named)))
        if min(shape, default=1) < 1:
            raise rnnrs.UnsupportedError(f"input {given.name!r}: expected sizes of at least one, got {tuple(shape)}")
        found[given.name] = tuple(shape)
    return found


def floating(element: int) -> bool:
    """Whether a type of ``onnx.TensorProto`` is one of real numbers."""
    kinds = onnx.TensorProto
    return element in (kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16, kinds.BFLOAT16)
