"""The table: each primitive of rnnrs as an expression of ONNX.

Values have leading axes (steps, batch) before their own, so an expression names axes from the last one. A value of
shape () or (n,) broadcasts; where all its extents are wanted, an expression asks for it in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper

from rnnrs import UnsupportedError

from ._writer import local_function

if TYPE_CHECKING:
    from rnnrs._nodes import Node

    from ._scope import Scope, Value


@dataclass
class Call:
    """A primitive applied to values in a scope."""

    scope: Scope
    index: int
    """Of its node."""
    node: Node
    values: list[Value]
    shapes: list[tuple[int, ...]]
    """Of the arguments, without leading axes."""

    def op(self, kind: str, *inputs: str, **attributes: Any) -> Any:
        return self.scope.writer.op(kind, *inputs, **attributes)

    def arg(self, index: int) -> str:
        """An argument that may lack leading axes and have extents of 1."""
        return self.values[index].name

    def full(self, index: int) -> str:
        """An argument with all its extents; leading axes only if some argument has them."""
        return self.scope.full(self.values[index], self.shapes[index], self.lead)

    @property
    def lead(self) -> int:
        """How many leading axes the result has."""
        return max((value.lead for value in self.values), default=self.scope.lead)

    @property
    def axis(self) -> int:
        """The axis along which it works, from the last."""
        return int(self.node.attributes.get("axis") or 0) - len(self.shapes[0])

    def ints(self, *numbers: int) -> str:
        return self.scope.writer.ints(*numbers)

    def number(self, number: float) -> str:
        return self.scope.writer.number(number)

    def as_number(self, condition: str) -> str:
        """1 where true, else 0."""
        return str(self.op("Cast", condition, to=self.scope.writer.elem_type))

    def reshaped(self, value: str, shape: tuple[int, ...]) -> str:
        return str(self.op("Reshape", value, self.ints(*[0] * self.lead, *shape)))

    def part(self, value: str, start: int, stop: int, axis: int) -> str:
        return str(self.op("Slice", value, self.ints(start), self.ints(stop), self.ints(axis)))

    def zeros(self, shape: tuple[int, ...]) -> str:
        return self.scope.full(self.scope.constant(np.zeros(shape)), shape, self.lead)


Expression = Callable[[Call], str]


def _plain(kind: str) -> Expression:
    return lambda c: c.op(kind, *(value.name for value in c.values))


def _same(c: Call) -> str:
    return c.arg(0)


def _softplus(c: Call) -> str:
    if c.scope.writer.dtype != np.float64:
        return str(c.op("Softplus", c.arg(0)))
    # onnxruntime has no kernel for float64: max(a, 0) + ln(1 + exp(-|a|)).
    small = c.op("Exp", c.op("Neg", c.op("Abs", c.arg(0))))
    return str(c.op("Add", c.op("Relu", c.arg(0)), c.op("Log", c.op("Add", small, c.number(1.0)))))


def _reduction(kind: str) -> Expression:
    def write(c: Call) -> str:
        rank = len(c.shapes[0])
        axes = range(-rank, 0) if c.node.attributes.get("axis") is None else [c.axis]
        return str(c.op(kind, c.full(0), c.ints(*axes), keepdims=0)) if rank else c.full(0)

    return write


def _argmax(c: Call) -> str:
    return str(c.op("ArgMax", c.full(0), axis=c.axis, keepdims=0))


def _cumsum(c: Call) -> str:
    reverse = int(bool(c.node.attributes.get("reverse")))
    return str(c.op("CumSum", c.full(0), c.scope.writer.integer(c.axis), reverse=reverse))


def _cumprod(c: Call) -> str:
    # ONNX lacks it: for each k the product over i of all elements, those beyond k replaced by 1.
    extent = c.shapes[0][c.axis]
    within = np.triu(np.ones((extent, extent), dtype=bool)).reshape(extent, extent, *[1] * (-c.axis - 1))
    mask = c.op("Cast", c.scope.writer.tensor(within.astype(np.int64), "triangle"), to=TensorProto.BOOL)
    masked = c.op("Where", mask, c.op("Unsqueeze", c.full(0), c.ints(c.axis)), c.number(1.0))
    return str(c.op("ReduceProd", masked, c.ints(c.axis - 1), keepdims=0))


def _roll(c: Call) -> str:
    extent = c.shapes[0][c.axis]
    cut = -int(c.node.attributes["shift"]) % extent
    if not cut:
        return c.arg(0)
    value = c.full(0)
    return str(c.op("Concat", c.part(value, cut, extent, c.axis), c.part(value, 0, cut, c.axis), axis=c.axis))


def _argsort(c: Call) -> str:
    # Sorted and with k = N ties go to the lower index.
    values = (c.full(0), c.ints(c.shapes[0][c.axis]))
    return str(c.op("TopK", *values, axis=c.axis, largest=0, sorted=1, outputs=2)[1])


def _rows(c: Call, index: str, width: tuple[int, ...]) -> str:
    """Indices of rows as indices of all their elements."""
    if not width:
        return index
    shape = c.op("Concat", c.op("Shape", index), c.ints(*width), axis=0)
    return str(c.op("Expand", c.op("Unsqueeze", index, c.ints(-1)), shape))


def _take(c: Call) -> str:
    width = c.shapes[0][1:]
    return str(c.op("GatherElements", c.full(0), _rows(c, c.full(1), width), axis=c.lead))


def _scatter_add(c: Call) -> str:
    width = c.shapes[0][1:]
    zeros = c.zeros((int(c.node.attributes["count"]), *width))
    index = _rows(c, c.full(1), width)
    return str(c.op("ScatterElements", zeros, index, c.full(0), axis=c.lead, reduction="add"))


def _pick(c: Call) -> str:
    index = c.op("Unsqueeze", c.full(1), c.ints(-1))
    return str(c.op("Squeeze", c.op("GatherElements", c.full(0), index, axis=c.lead), c.ints(-1)))


def _place(c: Call) -> str:
    columns = c.scope.writer.ints(*range(int(c.node.attributes["width"])))
    here = c.op("Equal", c.op("Unsqueeze", c.full(1), c.ints(-1)), columns)
    return str(c.op("Where", here, c.reshaped(c.full(0), (1,)), c.number(0.0)))


def _gather(c: Call) -> str:
    return str(c.op("Gather", c.arg(0), c.arg(1), axis=0))


def _slice(c: Call) -> str:
    return c.part(c.full(0), c.node.attributes["from"], c.node.attributes["to"], c.axis)


def _pad(c: Call) -> str:
    before, total = c.node.attributes["before"], c.node.attributes["total"]
    parts, shape, at = [c.full(0)], list(c.shapes[0]), len(c.shapes[0]) + c.axis
    after = total - before - shape[at]
    for extent, place in ((before, 0), (after, len(parts) + 1)):
        if extent:
            shape[at] = extent
            parts.insert(place, c.zeros(tuple(shape)))
    return str(c.op("Concat", *parts, axis=c.axis)) if len(parts) > 1 else parts[0]


def _concat(c: Call) -> str:
    parts = [c.full(index) for index in range(len(c.values))]
    return str(c.op("Concat", *parts, axis=c.axis))


def _reshape(c: Call) -> str:
    return c.reshaped(c.full(0), tuple(c.node.attributes["shape"]))


def _transpose(c: Call) -> str:
    return str(c.op("Transpose", c.full(0), perm=[*range(c.lead), c.lead + 1, c.lead]))


def _matmul(c: Call) -> str:
    transposed = c.node.attributes["transposed"]
    sides = []
    for index, swap in enumerate(transposed):
        lead = c.values[index].lead
        full = c.scope.full(c.values[index], c.shapes[index], lead)
        sides.append(c.op("Transpose", full, perm=[*range(lead), lead + 1, lead]) if swap else full)
    return str(c.op("MatMul", *sides))


def _linear(transposed: bool) -> Expression:
    def write(c: Call) -> str:
        weight = c.arg(1) if transposed else c.op("Transpose", c.arg(1), perm=[1, 0])
        return str(c.op("MatMul", c.full(0), weight))

    return write


def _affine(c: Call) -> str:
    return c.scope.product(c.index)


def _broadcast(c: Call) -> str:
    rank, axis = len(c.node.attributes["shape"]), c.node.attributes.get("axis")
    if axis is not None:
        return str(c.op("Unsqueeze", c.full(0), c.ints(axis - 2)))
    return c.reshaped(c.full(0), (1,) * rank)


def _step(c: Call) -> str:
    return c.as_number(c.op("Greater", c.arg(0), c.number(0.0)))


def _compare(kind: str) -> Expression:
    return lambda c: c.as_number(c.op(kind, c.arg(0), c.arg(1)))


def _select(c: Call) -> str:
    return str(c.op("Where", c.op("Equal", c.arg(0), c.number(0.0)), c.arg(2), c.arg(1)))


def _solve(c: Call) -> str:
    """Gauss-Jordan elimination of the matrix with the right side as its last column."""
    (extent,) = c.shapes[1]
    lead = c.lead
    matrix = c.full(0)
    if c.node.attributes["transposed"]:
        matrix = c.op("Transpose", matrix, perm=[*range(lead), lead + 1, lead])
    system = c.op("Concat", matrix, c.op("Unsqueeze", c.full(1), c.ints(-1)), axis=-1)
    for column in range(extent):
        system = c.scope.writer.call("EliminateColumn", system, c.scope.writer.integer(column))
    return str(c.op("Squeeze", c.part(system, extent, extent + 1, -1), c.ints(-1)))


def _eliminate() -> None:
    """Makes column k that of the identity: partial pivoting, ties to the lower row."""
    made = []

    def op(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        made.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def ints(name: str, *values: int) -> str:
        return op("Constant", [], name, value_ints=list(values))

    first, last, zero = ints("first", -2), ints("last", -1), ints("zero", 0)
    op("Constant", [], "nothing", value_int=0)
    op("Constant", [], "single", value_int=1)
    op("Shape", ["system"], "shape")
    op("Gather", ["shape", first], "extents")
    op("Squeeze", ["extents"], "extent")
    op("Range", ["nothing", "extent", "single"], "rows")
    op("Less", ["rows", "k"], "done")
    op("Unsqueeze", ["k", zero], "ks")
    op("Gather", ["system", "k"], "column", axis=-1)
    op("Abs", ["column"], "sizes")
    op("Neg", ["sizes"], "negative")
    # Rows that are done cannot be pivots: their size counts as below all others.
    op("Sub", ["negative", "sizes"], "below")
    op("CastLike", [op("Constant", [], "minus", value_float=-1.0), "system"], "least")
    op("Add", ["below", "least"], "lowest")
    op("Where", ["done", "lowest", "sizes"], "candidates")
    op("ArgMax", ["candidates"], "pivot", axis=-1, keepdims=1)
    op("Equal", ["rows", "pivot"], "is_pivot")
    op("Equal", ["rows", "ks"], "is_k")
    op("Unsqueeze", ["is_pivot", last], "pivot_row")
    op("Unsqueeze", ["is_k", last], "k_row")
    op("CastLike", [op("Constant", [], "none", value_float=0.0), "system"], "number_zero")
    op("Where", ["pivot_row", "system", "number_zero"], "only_pivot")
    op("ReduceSum", ["only_pivot", first], "chosen", keepdims=1)
    op("Where", ["k_row", "system", "number_zero"], "only_k")
    op("ReduceSum", ["only_k", first], "displaced", keepdims=1)
    op("Where", ["pivot_row", "displaced", "system"], "moved")
    op("Gather", ["chosen", "ks"], "head", axis=-1)
    op("Div", ["chosen", "head"], "scaled")
    op("Gather", ["moved", "ks"], "factors", axis=-1)
    op("Mul", ["factors", "scaled"], "taken")
    op("Sub", ["moved", "taken"], "cleared")
    op("Where", ["k_row", "scaled", "cleared"], "result")
    local_function("EliminateColumn", ["system", "k"], ["result"], made)


_eliminate()


def _bernoulli(c: Call) -> str:
    # Compared in at least float32: float16 is too coarse for a probability.
    a, single = c.node.attributes, c.scope.writer.dtype == np.float16
    probability = c.scope.writer.single(a["probability"]) if single else c.number(a["probability"])
    return str(c.op("Mul", c.as_number(c.op("Less", _noise(c), probability)), c.number(a["value"])))


def _uniform(c: Call) -> str:
    a = c.node.attributes
    return str(c.op("Add", c.op("Mul", _noise(c), c.number(a["to"] - a["from"])), c.number(a["from"])))


def _normal(c: Call) -> str:
    a = c.node.attributes
    return str(c.op("Add", c.op("Mul", _noise(c), c.number(a["deviation"])), c.number(a["mean"])))


def _noise(c: Call) -> str:
    a = c.node.attributes
    return c.scope.noise(a["label"], tuple(a["shape"]), c.node.kind, per_sequence=a["per_sequence"])


def _backward_only(c: Call) -> str:
    raise UnsupportedError(f"export: expected a primitive of forward graphs, got '{c.node.kind}'")


ELEMENTWISE: dict[str, Expression] = {
    "add": _plain("Add"),
    "sub": _plain("Sub"),
    "mul": _plain("Mul"),
    "div": _plain("Div"),
    "neg": _plain("Neg"),
    "fma": lambda c: c.op("Add", c.op("Mul", c.arg(0), c.arg(1)), c.arg(2)),
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "relu": _plain("Relu"),
    "exp": _plain("Exp"),
    "log": _plain("Log"),
    "softplus": _softplus,
    "sqrt": _plain("Sqrt"),
    "greater": _compare("Greater"),
    "equal": _compare("Equal"),
    "select": _select,
    # Below 2⁻¹⁰⁰ the engine writes 0; no tolerance sees the difference.
    "flush": _same,
    "stop": _same,
    "sin": _plain("Sin"),
    "cos": _plain("Cos"),
    "abs": _plain("Abs"),
    "sign": _plain("Sign"),
    "floor": _plain("Floor"),
    "minimum": _plain("Min"),
    "maximum": _plain("Max"),
    "step": _step,
}
"""Their arguments may broadcast, and so may their results."""

SHAPED: dict[str, Expression] = {
    "sum": _reduction("ReduceSum"),
    "max": _reduction("ReduceMax"),
    "argmax": _argmax,
    "cumsum": _cumsum,
    "cumprod": _cumprod,
    "cumprod_gradient": _backward_only,
    "roll": _roll,
    "argsort": _argsort,
    "take": _take,
    "scatter_add": _scatter_add,
    "broadcast": _broadcast,  # with extents of 1, which Scope repeats where all are wanted
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "reshape": _reshape,
    "transpose": _transpose,
    "matmul": _matmul,
    "solve": _solve,
    "linear": _linear(transposed=False),
    "linear_transposed": _linear(transposed=True),
    "affine": _affine,  # siblings share one product: see Scope
    "gather": _gather,
    "pick": _pick,
    "place": _place,
    "bernoulli": _bernoulli,
    "uniform": _uniform,
    "normal": _normal,
    "accumulate_sum": _backward_only,
    "accumulate_outer": _backward_only,
    "accumulate_rows": _backward_only,
}

TABLE: dict[str, Expression] = {**ELEMENTWISE, **SHAPED}
