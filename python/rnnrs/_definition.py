"""What every cell is, built-in or a user's own: a graph, which may be shown, drawn, and used inside another cell."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _lines, _symbols
from ._core import InvalidValueError, ShapeError
from ._symbols import Symbol

if TYPE_CHECKING:
    from ._draw import Drawing
    from ._equations import Equations
    from ._spec import LayerSpec


Above = Callable[[int, int], int]
"""Given a layer's width of x and its cell's width of y, the width of x of the layer above."""


class Definition:
    """A cell by its definition: what ``rnnrs.Recurrent`` runs over sequences."""

    def _graph(self) -> str:
        """The graph as JSON, in the form of files."""
        raise NotImplementedError

    def _layer(self, num_layers: int, above: Above, regularisation: dict[str, float]) -> LayerSpec:
        """The cell's part in the specification of a recurrent layer."""
        raise NotImplementedError

    def equations(self) -> Equations:
        """The equations of one step, from the graph: ``print(cell.equations())``, or ``cell.equations().latex``.

        Primes are values after the step, ``W x`` is a product of a matrix and a vector, other products are element by
        element; what is used more than once has a name of its own.

        >>> import rnnrs
        >>> print(rnnrs.cells.Elman(2, 3).equations())
        h' = tanh(weight_ih x + weight_hh h + bias_ih + bias_hh)
        y = h'
        """
        from ._equations import Equations

        return Equations(self._graph())

    def draw(self) -> Drawing:
        """The graph in the DOT language of Graphviz: ``str(cell.draw())``; in a notebook a picture, where there is
        Graphviz's program ``dot``.
        """
        from ._draw import Drawing

        return Drawing(self._graph())

    def __call__(self, x: Any, *states: Any) -> tuple[Symbol, ...]:
        """The cell inside the step of another: ``y, h = self.inner(x, h)``.

        Args:
            x: a vector with as many elements as the cell has inputs.
            states: one for each of the cell's states, of its shape.

        Returns:
            (y, new state, ...). Called again within a step, the cell uses the same parameters again; their names begin
            with the attribute that holds the cell: ``inner.weight_ih``.
        """
        trace = _symbols.trace()
        if trace is None:
            raise _lines.error(
                InvalidValueError,
                f"{type(self).__name__}: expected a call within the step of another cell, got one outside; "
                "rnnrs.Recurrent(cell) runs a cell over sequences",
            )
        graph = self._graph()
        leaves = [node for node in json.loads(graph)["nodes"] if node["node"] in ("param", "input", "state")]
        [given] = [node for node in leaves if node["node"] == "input"]
        declared = [node for node in leaves if node["node"] == "state"]
        if len(states) != len(declared):
            names = ", ".join(node["name"] for node in declared) or "none"
            raise _lines.error(
                ShapeError, f"{type(self).__name__}: expected {len(declared)} states ({names}), got {len(states)}"
            )
        name = trace.name_of(self)
        params = [
            trace.once(self, node["name"], functools.partial(_inner_param, trace, name, node)).node(trace)
            for node in leaves
            if node["node"] == "param"
        ]
        x = _fitting(x, given, f"{name}: x").node(trace)
        values = [
            _fitting(s, node, f"{name}: {node['name']}").node(trace) for s, node in zip(states, declared, strict=True)
        ]
        label = f"{name}.{trace.count(name)}."
        outputs, nexts = _lines.checked(trace.builder.inline, graph, params, [x], values, label)
        return tuple(Symbol(trace, node) for node in [*outputs, *nexts])


def _inner_param(trace: _symbols.Trace, prefix: str, node: dict[str, Any]) -> Symbol:
    init = json.dumps(node["init"])
    return trace.param(f"{prefix}.{node['name']}", tuple(node["shape"]), init, node.get("bound"))


def _fitting(value: Any, node: dict[str, Any], what: str) -> Symbol:
    """The value in the shape of an input or state of a cell inside."""
    given, shape = _symbols.symbol(value, what), tuple(node["shape"])
    if given.shape != shape:
        raise _lines.error(ShapeError, f"{what}: expected shape {shape}, got {given.shape}")
    return given
