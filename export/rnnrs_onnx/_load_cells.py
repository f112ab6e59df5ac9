"""RNN, GRU and LSTM nodes as cells of rnnrs: attributes checked, weights under rnnrs's names, gates in its order.

The operators are those of the ONNX specification (opset 1 to 22). It stacks gates as z, r, h and i, o, f, c, and
peepholes as i, o, f, where rnnrs has r, z, n and i, f, g, o.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import rnnrs

Array = NDArray[Any]

LAYERS: Mapping[str, Callable[..., rnnrs.Recurrent]] = {"RNN": rnnrs.RNN, "GRU": rnnrs.GRU, "LSTM": rnnrs.LSTM}
_ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 2, 3, 1]}
_ACTIVATIONS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
_NONLINEARITIES = ("tanh", "relu", "sigmoid")
_ATTRIBUTES = {
    "RNN": {"activations", "direction", "hidden_size", "layout"},
    "GRU": {"activations", "direction", "hidden_size", "layout", "linear_before_reset"},
    "LSTM": {"activations", "direction", "hidden_size", "layout", "input_forget"},
}


@dataclass(frozen=True)
class Cell:
    """One node: a layer of rnnrs of one or two directions, by its class, its options and its parameters."""

    operator: str
    input_size: int
    hidden_size: int
    options: Mapping[str, Any]
    directions: Sequence[Mapping[str, Array]]
    """The parameters of each direction, named as in ``rnnrs.cells``."""
    batch_first: bool
    """Whether the node itself takes rows before steps (``layout = 1``)."""


def where(node: onnx.NodeProto) -> str:
    """The node as error messages name it."""
    return f"node {node.name or next(filter(None, node.output), '')!r} ({node.op_type})"


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The node's attributes by name, texts as ``str``."""
    found = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def read(node: onnx.NodeProto, weights: Mapping[str, Array]) -> Cell:
    """The node with its weights, of which ``weights`` holds W, R and, where the node has them, B and P.

    Raises:
        UnsupportedError: an attribute says what no layer of rnnrs does.
        FileError: weights whose shapes disagree with each other or with the attributes.
    """
    operator, given, place = node.op_type, attributes(node), where(node)
    for name in given.keys() - _ATTRIBUTES[operator]:
        raise rnnrs.UnsupportedError(f"{place}: expected no attribute {name}, which no layer has, got {given[name]}")
    directions = _directions(place, given.get("direction", "forward"))
    options: dict[str, Any] = {"bias": "B" in weights}
    activation = _activation(place, operator, directions, given.get("activations"))
    if operator == "RNN":
        options["nonlinearity"] = activation
    if operator == "GRU":
        options["reset_after"] = bool(given.get("linear_before_reset", 0))
    if operator == "LSTM":
        options["coupled"] = bool(given.get("input_forget", 0))
        options["peephole"] = "P" in weights
    hidden_size, input_size = _check(place, operator, directions, given.get("hidden_size"), weights)
    return Cell(
        operator=operator,
        input_size=input_size,
        hidden_size=hidden_size,
        options=options,
        directions=[_parameters(operator, options, {k: v[d] for k, v in weights.items()}) for d in range(directions)],
        batch_first=bool(given.get("layout", 0)),
    )


def _directions(place: str, direction: str) -> int:
    if direction == "reverse":
        raise rnnrs.UnsupportedError(
            f"{place}: expected direction 'forward' or 'bidirectional', got 'reverse': no layer runs only backwards"
        )
    if direction not in ("forward", "bidirectional"):
        raise rnnrs.FileError(f"{place}: expected direction 'forward', 'reverse' or 'bidirectional', got {direction!r}")
    return 2 if direction == "bidirectional" else 1


def _activation(place: str, operator: str, directions: int, given: Sequence[bytes] | None) -> str:
    """The first activation, once all are seen to be what rnnrs has."""
    usual = _ACTIVATIONS[operator]
    # Names of activations do not distinguish capitals.
    names = [name.decode().lower() for name in given] if given else [*usual] * directions
    first = tuple(names[: len(usual)])
    known = first in {(name,) for name in _NONLINEARITIES} if operator == "RNN" else first == usual
    if not known or names != [*first] * directions:
        expected = " or ".join(_NONLINEARITIES) if operator == "RNN" else ", ".join(usual)
        raise rnnrs.UnsupportedError(
            f"{place}: expected activations {expected}, the same in each direction, got {', '.join(names)}"
        )
    return first[0]


def _check(
    place: str, operator: str, directions: int, hidden: int | None, weights: Mapping[str, Array]
) -> tuple[int, int]:
    """Hidden size and input size, once all weights are seen to have the shapes that these ask for."""
    hidden_size = int(hidden) if hidden is not None else weights["R"].shape[-1]
    input_size = weights["W"].shape[-1]
    rows = len(_ORDER[operator]) * hidden_size
    shapes = {"W": (rows, input_size), "R": (rows, hidden_size), "B": (2 * rows,), "P": (3 * hidden_size,)}
    for name, array in weights.items():
        if array.shape != (directions, *shapes[name]):
            raise rnnrs.FileError(
                f"{place}: expected {name} of shape {(directions, *shapes[name])} for hidden size {hidden_size} and "
                f"{directions} direction{'s' if directions > 1 else ''}, got {array.shape}"
            )
    return hidden_size, input_size


def _parameters(operator: str, options: Mapping[str, Any], weights: Mapping[str, Array]) -> dict[str, Array]:
    """One direction's parameters."""
    blocks = {"weight_ih": weights["W"], "weight_hh": weights["R"]}
    if options["bias"]:
        blocks["bias_ih"], blocks["bias_hh"] = np.split(weights["B"], 2)
    parameters = {name: _gates(operator, options, block) for name, block in blocks.items()}
    if options.get("peephole"):
        i, o, f = np.split(weights["P"], 3)
        # As in _gates, f = 1 - i.
        parameters |= {"weight_p_i": i, "weight_p_f": f, "weight_p_o": o}
        if options["coupled"]:
            del parameters["weight_p_i"]
            parameters["weight_p_f"] = -i
    return parameters


def _gates(operator: str, options: Mapping[str, Any], block: Array) -> Array:
    """The rows of a weight or bias, gate by gate in rnnrs's order."""
    gates = np.split(block, len(_ORDER[operator]))
    ordered = [gates[k] for k in _ORDER[operator]]
    if options.get("coupled"):
        # ONNX couples by f = 1 - i, rnnrs by i = 1 - f; and 1 - sigmoid(v) = sigmoid(-v).
        i, _, g, o = ordered
        ordered = [-i, g, o]
    return np.concatenate(ordered)
