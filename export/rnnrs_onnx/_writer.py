"""Writing an ONNX graph: nodes, constants kept once, bodies of loops that see the graph around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]

OPSET = 20
"""CUDA kernels of onnxruntime exist for Loop and Scan up to this one; above it they silently run on the CPU."""
DOMAIN = "rnnrs"
"""Of local functions."""

_FUNCTIONS: dict[str, onnx.FunctionProto] = {}


def local_function(name: str, inputs: list[str], outputs: list[str], nodes: list[onnx.NodeProto]) -> None:
    """Declares a function that graphs may call by ``writer.call``."""
    opsets = [helper.make_opsetid("", OPSET)]
    _FUNCTIONS[name] = helper.make_function(DOMAIN, name, inputs, outputs, nodes, opsets)


class Writer:
    """A graph in the making. Bodies share names and constants with the graph around them."""

    def __init__(self, dtype: str, parent: Writer | None = None) -> None:
        self.dtype = np.dtype(dtype)
        """Of all floating point values."""
        self._root: Writer = parent._root if parent else self
        self._parent = parent
        self._nodes: list[onnx.NodeProto] = []
        self._made: dict[object, tuple[str, ...]] = {}
        self._counts: dict[str, int] = {}
        self._constants: dict[object, tuple[str, Array]] = {}
        self._functions: set[str] = set()

    @property
    def elem_type(self) -> int:
        """ONNX's number for the type of floating point values."""
        return int(helper.np_dtype_to_tensor_dtype(self.dtype))

    def body(self) -> Writer:
        """The writer of a body of a loop in this graph."""
        return Writer(self.dtype.name, self)

    def name(self, stem: str) -> str:
        """A name that nothing else in the model has."""
        counts = self._root._counts
        counts[stem] = counts.get(stem, -1) + 1
        return f"{stem}_{counts[stem]}"

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Writes a node (or finds one like it) and returns the name of its output, or their names."""
        key = (kind, inputs, outputs, repr(sorted(attributes.items())))
        names = self._known(key) if not any(isinstance(a, onnx.GraphProto) for a in attributes.values()) else None
        if names is None:
            names = tuple(self.name(kind.lower()) for _ in range(outputs))
            self._nodes.append(helper.make_node(kind, list(inputs), list(names), name=self.name(kind), **attributes))
            self._made[key] = names
        return names[0] if outputs == 1 else names

    def call(self, function: str, *inputs: str) -> str:
        """Writes a call of a local function with one output."""
        self._root._functions.add(function)
        out = self.name(function.lower())
        self._nodes.append(helper.make_node(function, list(inputs), [out], name=self.name(function), domain=DOMAIN))
        return out

    def rename(self, value: str, name: str) -> str:
        """Gives a value a name that was promised."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=self.name("Identity")))
        return name

    def distinct(self, values: list[str]) -> list[str]:
        """The values under names that are made in this graph and differ from each other, as its outputs must."""
        own = {name for node in self._nodes for name in node.output}
        names: list[str] = []
        for value in values:
            free = value in own and value not in names
            names.append(value if free else self.rename(value, self.name("output")))
        return names

    def _known(self, key: object) -> tuple[str, ...] | None:
        """A node written before, here or around here."""
        scope: Writer | None = self
        while scope is not None:
            if key in scope._made:
                return scope._made[key]
            scope = scope._parent
        return None

    def ints(self, *numbers: int) -> str:
        """A vector of integers."""
        return self._constant(np.asarray(numbers, np.int64), "ints")

    def integer(self, number: int) -> str:
        """An integer, of rank 0."""
        return self._constant(np.asarray(number, np.int64), "int")

    def number(self, number: float) -> str:
        """A number, of rank 0."""
        return self.floats(np.asarray(number))

    def floats(self, values: Array, stem: str = "constant") -> str:
        """Numbers, in the type of the graph."""
        return self._constant(np.asarray(values).astype(self.dtype), stem)

    def single(self, number: float) -> str:
        """A number in float32, whatever the type of the graph."""
        return self._constant(np.asarray(number, np.float32), "constant")

    def tensor(self, values: Array, stem: str = "constant") -> str:
        """Numbers in the graph's type, or integers."""
        return self.floats(values, stem) if values.dtype.kind == "f" else self._constant(values.astype(np.int64), stem)

    def _constant(self, values: Array, stem: str) -> str:
        key = (values.dtype.str, values.shape, values.tobytes())
        root = self._root
        if key not in root._constants:
            root._constants[key] = (self.name(stem), np.ascontiguousarray(values).reshape(values.shape))
        return root._constants[key][0]

    def graph(
        self, name: str, inputs: Iterable[onnx.ValueInfoProto], outputs: Iterable[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """What was written. The constants stand in the outermost graph."""
        tensors = [numpy_helper.from_array(array, key) for key, array in self._constants.values()]
        return helper.make_graph(self._nodes, name, list(inputs), list(outputs), tensors)

    def functions(self) -> list[onnx.FunctionProto]:
        """The local functions that are called."""
        return [_FUNCTIONS[name] for name in sorted(self._functions)]


INT64 = TensorProto.INT64
