"""Cell: what a user extends to write a cell of one's own."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np

from . import _arrays, _lines, _numbers, _symbols, cells, init
from ._core import DtypeError, Error, InvalidValueError, ShapeError, UnsupportedError
from ._definition import Above, Definition
from ._spec import LayerSpec
from ._symbols import Shape, Symbol, Trace

Size = int | tuple[int, ...]

_OWN = "own"
"""What cells of no table are called in specifications."""


class Traced(NamedTuple):
    """What tracing a cell gives."""

    graph: str
    width: int
    """Elements of y."""


class Cell(Definition):
    """A cell of one's own: extend it, say in ``__init__`` what goes in and what is kept, and write ``step``.

    ``step`` is run once, with symbols in place of numbers; what it does to them is the cell. From then on it is as a
    built-in one: as fast, differentiated exactly, in ``rnnrs.Recurrent`` with all its options, streamed, saved, and
    loaded where the class is not.

    >>> import rnnrs
    >>> from rnnrs import ops
    >>> class MGU(rnnrs.Cell):
    ...     '''The minimal gated unit of Zhou et al. (2016).'''
    ...
    ...     def __init__(self, input_size, hidden_size):
    ...         super().__init__(input=input_size, state={"h": hidden_size})
    ...
    ...     def step(self, x, h):
    ...         f = ops.sigmoid(self.linear("f", x, h))
    ...         n = ops.tanh(self.linear("n", x, f * h))
    ...         return h + f * (n - h)
    >>> layer = rnnrs.Recurrent(MGU(4, 8), num_layers=2, seed=0)
    >>> y, h = layer([[1.0, 0.0, 0.0, 0.0]])
    >>> y.shape, h.shape
    ((1, 8), (2, 8))

    Args:
        input: the number of features of x, or a shape of rank 2 into which they are laid.
        state: the states by name, each with its size or its shape of rank 0 to 2. They start at zero.

    Where an error is found in a definition, its message names the line and says what was expected and what came.

    Raises:
        ShapeError, DtypeError, InvalidValueError: the definition is not sound.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    _input: Shape

    def __new__(cls, *args: Any, **options: Any) -> Cell:
        made = super().__new__(cls)
        # Remembered, so that a layer above the first can be made with another input_size.
        made._arguments = args, options
        return made

    def __init__(self, *, input: Size, state: Mapping[str, Size]) -> None:  # noqa: A002
        self._input = _shape(input, "input", least=1)
        if not isinstance(state, Mapping):
            raise _lines.error(DtypeError, f"state: expected a dict of names and sizes, got {type(state).__name__}")
        self._states = {str(name): _shape(size, f"state {name!r}") for name, size in state.items()}
        self._declared: dict[str, _symbols.DeclaredParam] = {}

    # With these arguments checkers of types accept any signature in its place: a user's step names its states.
    def step(self, *args: Any, **kwargs: Any) -> Any:
        """One step of the cell, to be written as ``step(self, x, h, ...)``.

        x is the input of the step; h and so on are the states before it, in the order in which they were declared.

        Returns:
            The new states in that order, the first of which is y too; or (y, new state, ...), or (y, (new states)).
            y may have any shape of rank 0 to 2; outside it is a vector.
        """
        raise NotImplementedError

    def linear(
        self,
        name: str,
        *values: Any,
        size: int | None = None,
        bias: bool | float | init.Init = True,
        init: init.Init | float | None = None,
    ) -> Symbol:
        """W_1 v_1 + W_2 v_2 + ... + b: a sum of products, each value with a weight of its own.

        Args:
            name: the parameters are ``{name}.weight_{v}`` (size, width of v) and ``{name}.bias`` (size,), where v is
                the name of the input (x) or state, and for other values the number of its place: 0, 1, ...
            values: vectors.
            size: of the result; the size of the first state when None.
            bias: whether there is b; or how it starts.
            init: how weights, and b unless it says otherwise, start; U(-k, k) with k = 1/sqrt(size of the first state)
                when None.
        """
        trace = self._tracing("linear")
        given = [_symbols.symbol(value, f"linear {name!r}") for value in values]
        if not given:
            raise _lines.error(InvalidValueError, f"linear {name!r}: expected at least one value, got none")
        for place, value in enumerate(given):
            if value.ndim != 1 or value.kind != "float":
                raise _lines.error(
                    ShapeError, f"linear {name!r}: expected vectors, got shape {value.shape} as value {place}"
                )
        rows = self._default_size(f"linear {name!r}") if size is None else _extent(size, "size")
        start = self._start(init)
        names = [trace.leaves.get(value.node(trace)) or str(place) for place, value in enumerate(given)]
        total: Symbol | None = None
        for place, (value, own) in enumerate(zip(given, names, strict=True)):
            own = own if names.count(own) == 1 else str(place)
            weight = trace.param(f"{name}.weight_{own}", (rows, value.shape[0]), start)
            product = _symbols.apply("linear", value, weight)
            total = product if total is None else total + product
        assert total is not None
        if bias is False:
            return total
        return total + trace.param(f"{name}.bias", (rows,), start if bias is True else self._start(bias))

    def param(
        self, name: str, shape: Size = (), *, init: init.Init | float | None = None, bound: float | None = None
    ) -> Symbol:
        """A parameter of any shape up to rank 3, in ``__init__`` or in ``step``.

        Args:
            name: under which it stands in ``state_dict``.
            shape: () for a number, n or (n,) for a vector, (m, n) for a matrix.
            init: of ``rnnrs.init``, or a number; U(-k, k) with k = 1/sqrt(size of the first state) when None.
            bound: what no element exceeds in magnitude: optimizers clip to it after every update.
        """
        full, start = _shape(shape, f"parameter {name!r}", rank=3), self._start(init)
        trace = _symbols.trace()
        if trace is not None and trace.owner is self:
            return trace.param(name, full, start, bound)
        if name in self._declared:
            line = self._declared[name].line
            raise _lines.error(InvalidValueError, f"parameter {name!r}: expected a new name, got that of {line}")
        self._declared[name] = _symbols.DeclaredParam(name, full, start, bound)
        return self._declared[name]

    def constant(self, value: Any) -> Symbol:
        """Fixed numbers: a number or an array of rank 0 to 2, in ``__init__`` or in ``step``. It is no parameter."""
        array = np.array(_arrays.array(value, "constant"), np.float64)
        if not np.isfinite(array).all():
            raise _lines.error(InvalidValueError, "constant: expected finite numbers, got others")
        return _symbols.DeclaredConstant(array)

    def __repr__(self) -> str:
        args, options = self._arguments
        shown = [repr(value) for value in args] + [f"{name}={value!r}" for name, value in options.items()]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _tracing(self, what: str) -> Trace:
        self._ready(what)
        trace = _symbols.current(what)
        if trace.owner is not self:
            raise _lines.error(
                InvalidValueError, f"{what}: expected a use within the step of {self!r}, got one in {trace.name}"
            )
        return trace

    def _ready(self, what: str) -> None:
        if not hasattr(self, "_declared"):
            raise _lines.error(
                InvalidValueError,
                f"{what}: expected super().__init__(input=..., state=...) to come first, got no such call",
            )

    def _start(self, given: init.Init | float | None) -> str:
        self._ready("param")
        if given is not None:
            return init.resolve(given).spec
        return init.Uniform(self._default_size("init of a parameter") ** -0.5).spec

    def _default_size(self, what: str) -> int:
        if not self._states:
            raise _lines.error(
                InvalidValueError, f"{what}: expected to be said where there is no state to follow, got none"
            )
        return int(np.prod(next(iter(self._states.values()))))

    @cached_property
    def _traced(self) -> Traced:
        self._ready(f"{type(self).__name__}")
        try:
            return self._trace()
        except Exception as error:
            raise _lines.without_our_frames(error) from None

    def _trace(self) -> Traced:
        trace = Trace(type(self).__name__, self)
        with trace.open():
            builder = trace.builder
            x = Symbol(trace, builder.input("x", (int(np.prod(self._input)),)))
            trace.leaves[x.node(trace)] = "x"
            states = []
            for name, shape in self._states.items():
                states.append(Symbol(trace, builder.state(name, shape)))
                trace.leaves[states[-1].node(trace)] = name
            returned = self.step(_symbols.reshape(x, self._input), *states)
            y, new = self._results(returned)
            for name, before, after in zip(self._states, states, new, strict=True):
                if after.shape != before.shape:
                    self._wrong(
                        ShapeError, f"state {name!r}: expected shape {before.shape} after it, got {after.shape}"
                    )
                builder.next(before.node(trace), after.node(trace))
            if y.ndim != 1:
                y = _symbols.reshape(y, (int(np.prod(y.shape)),))
            builder.output(y.node(trace))
        graph = builder.finish()
        self._check_used(trace, json.loads(graph))
        return Traced(graph, y.shape[0])

    def _results(self, returned: Any) -> tuple[Symbol, list[Symbol]]:
        """The output and the new states that ``step`` returned."""
        count = len(self._states)
        names = ", ".join(f"{name}'" for name in self._states)
        values = list(returned) if isinstance(returned, tuple) else [returned]
        if len(values) == 2 and isinstance(values[1], tuple):
            values = [values[0], *values[1]]
        if any(not isinstance(value, (Symbol, int, float, np.ndarray)) for value in values):
            found = next(type(v).__name__ for v in values if not isinstance(v, (Symbol, int, float, np.ndarray)))
            self._wrong(DtypeError, f"expected symbols ({names or 'y'}), got {found}")
        if len(values) not in (count, count + 1) or not values:
            wanted = f"the new states ({names}), or y and the new states" if count else "y"
            self._wrong(InvalidValueError, f"expected {wanted}: {count} values or {count + 1}, got {len(values)}")
        symbols = [_symbols.symbol(value) for value in values]
        if any(value.kind != "float" for value in symbols):
            self._wrong(DtypeError, "expected numbers, got an index")
        return symbols[0], symbols[-count:] if count else []

    def _check_used(self, trace: Trace, graph: dict[str, Any]) -> None:
        """Refuses parameters of which neither y nor a state after the step is made."""
        unused = {name: declared.line for name, declared in self._declared.items() if name not in trace.params}
        needed = set(graph["outputs"]) | {state["next"] for state in graph["states"]}
        for node in range(len(graph["nodes"]) - 1, -1, -1):
            if node in needed:
                needed.update(graph["nodes"][node].get("args", ()))
        for name, (made, line) in trace.params.items():
            if made.node(trace) not in needed:
                unused[name] = line
        if unused:
            name, line = next(iter(unused.items()))
            raise InvalidValueError(
                f"{type(self).__name__}: expected y or a new state to depend on parameter {name!r}, got neither\n"
                f"  declared at {line}"
            )

    def _wrong(self, kind: type[Error], message: str) -> NoReturn:
        """Raises an error in what ``step`` returned."""
        raise kind(f"{type(self).__name__}.step: {message}\n  at {_lines.of_return(type(self).step)}")

    def _graph(self) -> str:
        return self._traced.graph

    def _layer(self, num_layers: int, above: Above, regularisation: dict[str, float]) -> LayerSpec:
        graphs = [json.loads(self._traced.graph)]
        cell = self
        for _ in range(1, num_layers):
            cell = cell._with_input(above(int(np.prod(cell._input)), cell._traced.width))
            graphs.append(json.loads(cell._traced.graph))
        return {"cell": _OWN, "options": regularisation, "graphs": graphs}

    def _with_input(self, width: int) -> Cell:
        """The same cell for an input of this width: that of a layer above the first."""
        if int(np.prod(self._input)) == width:
            return self
        args, options = self._arguments
        try:
            given = inspect.signature(type(self)).bind(*args, **options)
        except TypeError as error:
            raise InvalidValueError(f"{type(self).__name__}: expected its arguments again, got {error}") from error
        if "input_size" not in inspect.signature(type(self)).parameters:
            raise UnsupportedError(
                f"{type(self).__name__}: expected an argument named input_size to make a layer of width {width} upon "
                f"one of width {int(np.prod(self._input))}, got none"
            )
        given.arguments["input_size"] = width
        return type(self)(*given.args, **given.kwargs)


class StoredCell(Definition):
    """A user's cell without its class, as files hold it."""

    def __init__(self, graphs: list[dict[str, Any]]) -> None:
        self.graphs = graphs

    @property
    def name(self) -> str:
        """The name of the class that it was."""
        return str(self.graphs[0]["name"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredCell) and self.graphs == other.graphs

    def __hash__(self) -> int:
        return hash(json.dumps(self.graphs))

    def __repr__(self) -> str:
        return f"<cell {self.name}>"

    def _graph(self) -> str:
        return json.dumps(self.graphs[0])

    def _layer(self, num_layers: int, _above: Above, regularisation: dict[str, float]) -> LayerSpec:
        if num_layers not in (1, len(self.graphs)):
            raise UnsupportedError(
                f"num_layers: expected {len(self.graphs)}, as {self.name} was saved (its class makes others), "
                f"got {num_layers}"
            )
        return {"cell": _OWN, "options": regularisation, "graphs": self.graphs[:num_layers]}


def of_layer(layer: LayerSpec) -> Definition:
    """The cell that a layer's specification names or holds."""
    if layer["cell"] == _OWN:
        return StoredCell(layer["graphs"])
    return cells.CellSpec(layer["cell"], **layer["options"])


def _extent(value: Any, what: str) -> int:
    try:
        return _numbers.count(value, what)
    except (DtypeError, InvalidValueError) as raised:
        raise _lines.error(type(raised), str(raised)) from None


def _shape(size: Any, what: str, *, rank: int = 2, least: int = 0) -> Shape:
    """A size or shape as a shape."""
    extents = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    if not least <= len(extents) <= rank:
        raise _lines.error(ShapeError, f"{what}: expected a shape of rank {least} to {rank}, got {size}")
    return tuple(_extent(extent, what) for extent in extents)
