"""A graph walked node by node: constants are folded, what moves numbers is run on labels, the rest are layers in a row.

The walk is made for given sizes of the axes that the file leaves open. Layers found are kept as ``Source.layer``, so
that the way from the output back to the input is the chain of layers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

import rnnrs

from . import _load_labels, _load_operators
from ._load_cells import Array, where
from ._load_labels import Labels, Moved, Source, Value
from ._load_recurrence import FinalState, Recurrence


class Trace:
    """The graph at one choice of sizes; ``values`` holds its tensors by name."""

    def __init__(self, model: onnx.ModelProto, least: int) -> None:
        """Walks the graph, with ``least`` and upwards as the sizes of axes that are left open."""
        graph = model.graph
        self._opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
        self.register = _load_labels.Register()
        self.finals: dict[Recurrence, list[Labels]] = {}
        """The labels of the final states of each recurrence: h and, of an LSTM, c."""
        self.values: dict[str, Value] = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        for given in [item for item in graph.input if item.name not in self.values]:
            shape = _load_labels.shapes(graph, least)[given.name]
            element = given.type.tensor_type.elem_type
            # Tokens and lengths have no features.
            rows, width = (shape[:-1], shape[-1]) if shape and _load_labels.floating(element) else (shape, 1)
            source = self.register.new(given.name, rows, width, element)
            self.values[given.name] = Moved(source.labels.reshape(shape), element)
        for node in _needed(graph):
            self._visit(node)

    def _visit(self, node: onnx.NodeProto) -> None:
        if node.domain not in ("", "ai.onnx"):
            raise rnnrs.UnsupportedError(f"{where(node)}: expected an operator of ONNX, got one of {node.domain!r}")
        arguments = [self._value(node, name) if name else None for name in node.input]
        operator = _load_operators.find(node, arguments)
        results: list[Value]
        if not any(isinstance(value, Moved) for value in arguments):
            constants = [None if value is None else np.asarray(value) for value in arguments]
            results = [*_load_labels.run(node, self._opset, constants)]
        elif operator is not None:
            results = operator(self, node, arguments)
        elif node.op_type in ("Shape", "Size"):
            results = [*_load_labels.run(node, self._opset, [v.labels for v in arguments if isinstance(v, Moved)])]
        elif node.op_type in _load_labels.MOVES:
            results = [*_load_labels.move(node, self._opset, arguments)]
        else:
            raise rnnrs.UnsupportedError(f"{where(node)}: expected what a layer of rnnrs computes, got {node.op_type}")
        self.values.update(zip(node.output, results, strict=False))

    def _value(self, node: onnx.NodeProto, name: str) -> Value:
        if name not in self.values:
            raise rnnrs.UnsupportedError(f"{where(node)}: expected a dense tensor as input {name!r}, got another value")
        return self.values[name]

    def rows(self, node: onnx.NodeProto, value: Moved) -> tuple[Source, Labels]:
        """The source whose features lie along the value's last axis, and the numbers of its rows."""
        found = self.register.rows(value.labels)
        if found is None:
            raise rnnrs.UnsupportedError(
                f"{where(node)}: expected all features of one input or layer, in order, along the last axis, "
                "got a part of them or a mixture"
            )
        if isinstance(found[0].layer, FinalState):
            raise rnnrs.UnsupportedError(
                f"{where(node)}: expected y of the layer below, got final states of {found[0].name}"
            )
        return found

    def constants(self, node: onnx.NodeProto, values: Mapping[str, Value | None]) -> dict[str, Array]:
        """Those of the values that are given, once they are seen to be constants."""
        found = {}
        for name, value in values.items():
            if isinstance(value, Moved):
                raise rnnrs.UnsupportedError(
                    f"{where(node)}: expected a constant as {name}, got what depends on the input of the graph"
                )
            if value is not None:
                found[name] = value
        return found


def _needed(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes upon which an output depends, in order."""
    names = {output.name for output in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if names.intersection(node.output):
            nodes.append(node)
            names.update(filter(None, node.input))
    return nodes[::-1]
