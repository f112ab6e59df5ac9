"""What each operator that computes is in rnnrs: recurrences, and the layers that compute each point by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

import rnnrs

from . import _load_labels, _load_recurrence
from ._load_cells import Array, attributes, where
from ._load_labels import Moved, Value

if TYPE_CHECKING:
    from ._load_trace import Trace

Operator = Callable[["Trace", onnx.NodeProto, list[Value | None]], list[Value]]


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A layer that computes each point by itself: a class of rnnrs, its arguments, its parameters."""

    node: str
    make: Callable[..., rnnrs.Layer]
    arguments: tuple[Any, ...]
    parameters: Mapping[str, Array]


def find(node: onnx.NodeProto, arguments: list[Value | None]) -> Operator | None:
    """What reads the node as a layer, or as nothing; None where it is for others to read."""
    if node.op_type == "Gather" and isinstance(arguments[0], Moved):
        return None  # It takes a part of a result; an embedding's table is a constant.
    return _OPERATORS.get(node.op_type)


def _embedding(trace: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    table, tokens = arguments
    assert isinstance(table, np.ndarray)
    assert isinstance(tokens, Moved)
    axis = attributes(node).get("axis", 0)
    if table.ndim != 2 or axis != 0:
        raise rnnrs.UnsupportedError(
            f"{where(node)}: expected rows of a table (tokens, features), got axis {axis} of shape {table.shape}"
        )
    layer = Pointwise(where(node), rnnrs.Embedding, table.shape, {"weight": table})
    element = onnx.helper.np_dtype_to_tensor_dtype(table.dtype)
    return [_points(trace, node, Moved(tokens.labels[..., None], element), layer, table.shape[1])]


def _linear(trace: Trace, node: onnx.NodeProto, x: Value | None, weight: Array, bias: Array | None) -> list[Value]:
    """A linear layer, with the weight as rnnrs has it: (outputs, inputs)."""
    assert isinstance(x, Moved)
    if weight.ndim != 2 or weight.shape[1:] != x.labels.shape[-1:]:
        raise rnnrs.UnsupportedError(
            f"{where(node)}: expected a matrix that fits x, got shapes {x.labels.shape} and {weight.shape[::-1]}"
        )
    outputs, inputs = weight.shape
    parameters = {"weight": weight}
    if bias is not None:
        if bias.size != max(bias.shape[-1:], default=1) or bias.size not in (1, outputs):
            raise rnnrs.UnsupportedError(f"{where(node)}: expected a bias of {outputs} numbers, got shape {bias.shape}")
        parameters["bias"] = np.broadcast_to(bias.ravel(), (outputs,))
    layer = Pointwise(where(node), rnnrs.Linear, (inputs, outputs, bias is not None), parameters)
    return [_points(trace, node, x, layer, outputs)]


def _matmul(trace: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    x, weight = arguments
    if not isinstance(weight, np.ndarray):
        raise rnnrs.UnsupportedError(f"{where(node)}: expected x W with a constant W, got another product")
    return _linear(trace, node, x, weight.T, None)


def _gemm(trace: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    x, weight, bias = [*arguments, None][:3]
    given = attributes(node)
    if not isinstance(weight, np.ndarray) or isinstance(bias, Moved) or given.get("transA", 0):
        raise rnnrs.UnsupportedError(f"{where(node)}: expected x W + b with constants W and b, got another form")
    matrix = (weight if given.get("transB", 0) else weight.T) * weight.dtype.type(given.get("alpha", 1.0))
    scaled = None if bias is None else bias * bias.dtype.type(given.get("beta", 1.0))
    return _linear(trace, node, x, matrix, scaled)


def _add(trace: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    """The bias of the product below."""
    x, bias = arguments if isinstance(arguments[0], Moved) else arguments[::-1]
    if isinstance(x, Moved) and isinstance(bias, np.ndarray):
        source, numbers = trace.rows(node, x)
        product = source.layer
        if isinstance(product, Pointwise) and product.make is rnnrs.Linear and "bias" not in product.parameters:
            assert source.below is not None
            return _linear(trace, node, source.below.moved(numbers), product.parameters["weight"], bias)
    raise rnnrs.UnsupportedError(f"{where(node)}: expected the bias of a product with a constant, got another sum")


def _layer_norm(trace: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    x, *rest = arguments
    assert isinstance(x, Moved)
    given = attributes(node)
    constants = trace.constants(node, dict(zip(("weight", "bias"), rest, strict=False)))
    weight, features = constants["weight"], x.labels.shape[-1]
    bias = constants.get("bias", np.zeros_like(weight))
    axis = given.get("axis", -1)
    if axis not in (-1, x.labels.ndim - 1) or {weight.shape, bias.shape} != {(features,)}:
        raise rnnrs.UnsupportedError(
            f"{where(node)}: expected normalisation over the last axis, with {features} numbers in scale and bias, got "
            f"axis {axis} and shapes {weight.shape} and {bias.shape}"
        )
    arguments_of = (features, float(given.get("epsilon", 1e-5)))
    layer = Pointwise(where(node), rnnrs.LayerNorm, arguments_of, {"weight": weight, "bias": bias})
    return [_points(trace, node, x, layer, features)]


def _points(trace: Trace, node: onnx.NodeProto, x: Moved, layer: Pointwise, width: int) -> Moved:
    """The layer's results for those points that x holds."""
    source, numbers = trace.rows(node, x)
    return trace.register.new(layer.node, source.rows, width, x.element, layer, source).moved(numbers)


def _cast(_: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    value = arguments[0]
    assert isinstance(value, Moved)
    element = int(attributes(node)["to"])
    if element != value.element and any(map(_load_labels.floating, (element, value.element))):
        given, wanted = map(onnx.TensorProto.DataType.Name, (value.element, element))
        raise rnnrs.UnsupportedError(
            f"{where(node)}: expected one type of numbers throughout, got {given} and {wanted}"
        )
    return [Moved(value.labels, element)]


def _dropout(trace: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    value, *rest = arguments
    assert isinstance(value, Moved)
    options = trace.constants(node, dict(zip(("ratio", "training_mode"), rest, strict=False)))
    if np.any(options.get("training_mode", False)):
        raise rnnrs.UnsupportedError(f"{where(node)}: expected what is the same in every run, got training_mode 1")
    return [value]


def _sort(trace: Trace, node: onnx.NodeProto, arguments: list[Value | None]) -> list[Value]:
    """Lengths put in order, as torch does before a recurrence; afterwards it puts the rows back."""
    lengths, k = arguments
    source = trace.register.of(lengths.labels) if isinstance(lengths, Moved) else None
    if (
        not isinstance(lengths, Moved)
        or source is None
        or source.layer is not None
        or not np.array_equal(lengths.labels, source.labels[..., 0])
        or not isinstance(k, np.ndarray)
        or not np.array_equal(k.ravel(), lengths.labels.shape)
    ):
        raise rnnrs.UnsupportedError(
            f"{where(node)}: expected the lengths of all rows put in order, got another choice"
        )
    # Which order it is makes no difference to what is put back; that it is put back is seen by any but the first.
    order = np.roll(np.arange(len(lengths.labels)), 1)
    return [Moved(lengths.labels[order], lengths.element), order]


_OPERATORS: dict[str, Operator] = {
    "RNN": _load_recurrence.read,
    "GRU": _load_recurrence.read,
    "LSTM": _load_recurrence.read,
    "Gather": _embedding,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Add": _add,
    "LayerNormalization": _layer_norm,
    "Cast": _cast,
    "Dropout": _dropout,
    "TopK": _sort,
}
