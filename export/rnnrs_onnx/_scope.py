"""A region of the exported graph in which nodes of a cell are computed: over all steps at once, or within one step.

Products that read the same values become one MatMul with a Split behind it, as the planner of the engine merges them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from rnnrs import UnsupportedError

from ._graph import Cell
from ._primitives import ELEMENTWISE, TABLE, Call
from ._writer import OPSET, Writer

Array = NDArray[Any]
_ANY = helper.make_tensor_type_proto(TensorProto.DOUBLE, None)
Noise = Callable[[str, "tuple[int, ...]", str, bool], str]


@dataclass(frozen=True)
class Value:
    """A value in the exported graph."""

    name: str
    lead: int
    """How many leading axes it has: 2 (steps, batch), 1 (batch), 0."""
    thin: bool = False
    """Whether some extents are 1 in place of their own: it broadcasts."""


ZERO = Value("", 0)
"""A value that is known to be zero: sums and products are written without it."""


@dataclass(frozen=True)
class Merged:
    """Several vectors side by side."""

    value: Value
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One of several vectors that lie side by side."""

    merged: Merged
    place: int


class Scope:
    """Nodes of a cell, computed with so many leading axes.

    Args:
        writer: where nodes are written.
        cell: the graph whose nodes are computed.
        constants: what `fold` gives.
        lead: how many leading axes values have here.
        extents: gives the name of the vector of their extents.
        noise: gives the name of an input of random numbers: (label, shape, distribution, whether one a sequence).
    """

    def __init__(
        self,
        writer: Writer,
        cell: Cell,
        constants: dict[int, Array],
        lead: int,
        extents: Callable[[], str],
        noise: Noise | None = None,
    ) -> None:
        self.writer = writer
        self.cell = cell
        self.lead = lead
        self.values: dict[int, Value | Part] = {}
        self._constants = constants
        self._extents = extents
        self._noise = noise
        self._groups: dict[int, list[int]] = {}

    def constant(self, values: Array) -> Value:
        """Numbers that depend on no sample."""
        return Value(self.writer.tensor(values), 0)

    def __getitem__(self, index: int) -> Value:
        """The value of a node."""
        found = self.values.get(index)
        if found is None:
            return self.constant(self._constants[index])
        return self._split(found) if isinstance(found, Part) else found

    def full(self, value: Value, shape: tuple[int, ...], lead: int) -> str:
        """A value with so many leading axes and all its extents."""
        if not value.thin and value.lead == lead:
            return value.name
        extents = self.writer.ints(*shape)
        if lead:
            extents = self.writer.op("Concat", self._extents(), extents, axis=0) if shape else self._extents()
        return str(self.writer.op("Expand", value.name, extents))

    def whole(self, index: int) -> str:
        """A node's value with all leading axes of the scope and all extents."""
        return self.full(self[index], self.cell.nodes[index].shape, self.lead)

    def compute(self, wanted: Iterable[int]) -> None:
        """Computes nodes, arguments first."""
        order = sorted(index for index in wanted if index not in self.values and index not in self._constants)
        self._group(order)
        for index in order:
            if index not in self.values:
                self.values[index] = self._apply(index)

    def compute_to(self, *ends: int) -> None:
        """Computes nodes and all that they are made of, back to what is known."""
        found: set[int] = set()
        open_nodes = list(ends)
        while open_nodes:
            index = open_nodes.pop()
            if index not in found and index not in self.values and index not in self._constants:
                found.add(index)
                open_nodes.extend(self.cell.nodes[index].args)
        self.compute(found)

    def noise(self, label: str, shape: tuple[int, ...], kind: str, *, per_sequence: bool) -> str:
        """The name of an input of random numbers."""
        if self._noise is None:
            raise UnsupportedError(f"export: expected no random numbers here, got '{label}'")
        return self._noise(label, shape, kind, per_sequence)

    def product(self, index: int) -> str:
        """A sum of products with parameters, computed together with those that read the same values."""
        members = self._groups[index]
        nodes = [self.cell.nodes[member] for member in members]
        inits = [node.args[0] if node.attributes["init"] else None for node in nodes]
        places = self._places(inits)
        if places is not None:
            order = sorted(range(len(members)), key=lambda k: places[k][1])
            members, nodes, inits = [members[k] for k in order], [nodes[k] for k in order], [inits[k] for k in order]
        total: Any = None
        for term, argument in enumerate(_factors(nodes[0])[::2]):
            x = self.full(self[argument], self.cell.nodes[argument].shape, max(self[argument].lead, 1))
            product = self._times(x, np.concatenate([self._weight(node, term) for node in nodes], axis=1))
            total = product if total is None else self.writer.op("Add", total, product)
        fixed = [self._constants.get(init) if init is not None else None for init in inits]
        if places is not None:
            total, inits = self.writer.op("Add", total, self._merged(inits).value.name), [None] * len(inits)
        elif all(bias is not None for bias in fixed):
            biases = np.concatenate([np.asarray(bias) for bias in fixed])
            total, inits = self.writer.op("Add", total, self.writer.floats(biases, "bias")), [None] * len(inits)
        merged = Merged(Value(str(total), self.lead), tuple(node.shape[0] for node in nodes))
        for place, (member, init) in enumerate(zip(members, inits, strict=True)):
            part = Part(merged, place)
            self.values[member] = part if len(members) > 1 else merged.value
            if init is not None:
                added = self.writer.op("Add", self._split(part).name, self[init].name)
                self.values[member] = Value(str(added), self.lead)
        return self[index].name

    def _times(self, x: str, weight: Array) -> str:
        """X · W for W (in, out)."""
        inner, outer = weight.shape
        if self.writer.dtype == np.float64 and 1 in (inner, outer):
            # onnxruntime would draw a factor of one element into a MatMul, as an attribute in float32.
            product = self.writer.op("Mul", x, self.writer.floats(weight.T if outer == 1 else weight, "weight"))
            if inner == 1:
                return str(product)
            return str(self.writer.op("ReduceSum", product, self.writer.ints(-1), keepdims=1))
        return str(self.writer.op("MatMul", x, self.writer.floats(weight, "weight")))

    def _group(self, order: list[int]) -> None:
        """Finds the products that read the same values."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index in order:
            node = self.cell.nodes[index]
            if node.kind == "affine":
                groups.setdefault(tuple(_factors(node)[::2]), []).append(index)
        self._groups.update({index: group for group in groups.values() for index in group})

    def _places(self, inits: list[int | None]) -> list[tuple[Merged, int]] | None:
        """Where initial values lie side by side, if they are all of what lies there."""
        parts = [self.values.get(init) if init is not None else None for init in inits]
        places = [(part.merged, part.place) for part in parts if isinstance(part, Part)]
        if len(places) < len(parts) or len({merged for merged, _ in places}) != 1:
            return None
        whole = sorted(place for _, place in places) == list(range(len(places[0][0].widths)))
        return places if whole else None

    def _merged(self, inits: list[int | None]) -> Merged:
        part = self.values[inits[0]] if inits[0] is not None else None
        assert isinstance(part, Part)
        return part.merged

    def _weight(self, node: Any, term: int) -> Array:
        """(in, out)"""
        weight = self._constants[_factors(node)[2 * term + 1]]
        return weight if node.attributes["transposed"][term] else weight.T

    def _split(self, part: Part) -> Value:
        merged = part.merged
        if len(merged.widths) == 1:
            return merged.value
        names = self.writer.op(
            "Split", merged.value.name, self.writer.ints(*merged.widths), axis=-1, outputs=len(merged.widths)
        )
        return Value(names[part.place], merged.value.lead)

    def _apply(self, index: int) -> Value | Part:
        node = self.cell.nodes[index]
        if any(self.values.get(arg) is ZERO for arg in node.args):
            simple = self._without_zeros(index)
            if simple is not None:
                return simple
            for arg in node.args:
                if self.values.get(arg) is ZERO:
                    self.values[arg] = self.constant(np.zeros(self.cell.nodes[arg].shape))
        values = [self[arg] for arg in node.args] if node.kind != "affine" else []
        shapes = [self.cell.nodes[arg].shape for arg in node.args]
        name = TABLE[node.kind](Call(self, index, node, values, shapes))
        if node.kind == "affine":
            return self.values[index]
        lead = max((value.lead for value in values), default=self.lead)
        thin = node.kind in ELEMENTWISE and all(value.thin for value in values)
        return Value(name, lead, thin or (node.kind == "broadcast" and node.shape != ()))

    def _without_zeros(self, index: int) -> Value | None:
        """A node some of whose arguments are zero, if it is a sum or a product."""
        node = self.cell.nodes[index]
        if node.kind not in ("add", "sub", "mul", "fma", "neg", "flush", "stop"):
            return None
        values = [self[arg] for arg in node.args]
        zero = [value is ZERO for value in values]
        if node.kind in ("mul", "neg", "flush", "stop"):
            return ZERO
        if node.kind == "fma":
            if not (zero[0] or zero[1]):
                return None if not zero[2] else self._plain("Mul", values[:2])
            return values[2]
        if node.kind == "sub" and not zero[1]:
            return self._plain("Neg", values[1:])
        return values[1] if zero[0] else values[0]

    def _plain(self, kind: str, values: list[Value]) -> Value:
        name = self.writer.op(kind, *(value.name for value in values))
        return Value(name, max(value.lead for value in values), all(value.thin for value in values))


def _factors(node: Any) -> list[int]:
    """X and W of each term."""
    return list(node.args[int(node.attributes["init"]) :])


def fold(cell: Cell) -> dict[int, Array]:
    """The values of the nodes that depend on parameters and constants alone, where others need them: in float64."""
    known: dict[int, Array] = {}
    for index, node in enumerate(cell.nodes):
        if node.kind == "param":
            known[index] = np.asarray(cell.parameters[index], np.float64)
        elif node.kind == "constant":
            known[index] = np.full(node.shape, node.value, np.float64)
        elif node.kind == "tensor":
            known[index] = np.asarray(node.value, np.float64).reshape(node.shape)
    made = [index for index in cell.needed if index not in known and not cell.varies[index]]
    if not made:
        return known
    writer = Writer("float64")
    scope = Scope(writer, cell, known, 0, lambda: writer.ints())
    scope.compute(made)
    names = {index: scope.full(scope[index], cell.nodes[index].shape, 0) for index in made}
    wanted = sorted(set(names.values()))
    outputs = [helper.make_value_info(name, _ANY) for name in wanted]
    model = helper.make_model(
        writer.graph("parameters", [], outputs),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("rnnrs", 1)],
        functions=writer.functions(),
    )
    values = dict(zip(wanted, ReferenceEvaluator(model).run(None, {}), strict=True))
    return known | {index: np.asarray(values[name]) for index, name in names.items()}
