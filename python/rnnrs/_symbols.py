"""Symbols: the values with which the equations of a cell are written while its graph is traced."""

from __future__ import annotations

import contextlib
import contextvars
import numbers
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from . import _arrays, _core, _spec
from ._core import DtypeError, InvalidValueError, ShapeError
from ._lines import checked, error, where

Shape = tuple[int, ...]


class Trace:
    """The tracing of one cell: its graph in the making, and what was named in it."""

    def __init__(self, name: str, owner: object) -> None:
        self.name = name
        self.owner = owner
        self.builder = _core.GraphBuilder(name)
        self.params: dict[str, tuple[Symbol, str]] = {}
        """The parameters, and where each was declared."""
        self.leaves: dict[int, str] = {}
        """The names of the input and the states."""
        self._made: dict[tuple[int, str], tuple[object, Symbol]] = {}
        self._cells: dict[int, tuple[object, str]] = {}
        self._counts: dict[str, int] = {}

    def count(self, what: str) -> int:
        """How often this was asked before."""
        self._counts[what] = self._counts.get(what, -1) + 1
        return self._counts[what]

    def param(self, name: str, shape: Shape, init: str, bound: float | None = None, line: str | None = None) -> Symbol:
        """A new parameter."""
        if name in self.params:
            raise error(
                InvalidValueError, f"parameter {name!r}: expected a new name, got that of {self.params[name][1]}"
            )
        made = Symbol(self, checked(self.builder.param, name, shape, init, bound))
        self.params[name] = made, line or where()
        return made

    def once(self, thing: object, part: str, make: Callable[[], Symbol]) -> Symbol:
        """The symbol of a part of a thing that exists outside, made when it is first asked for."""
        key = id(thing), part
        if key not in self._made:
            # The thing is held, so that no other takes its identity.
            self._made[key] = thing, make()
        return self._made[key][1]

    def name_of(self, cell: object) -> str:
        """What a cell inside is called: the attribute that holds it, or its class and a number."""
        if id(cell) not in self._cells:
            self._cells[id(cell)] = cell, _attribute(self.owner, cell) or self._number(type(cell).__name__.lower())
        return self._cells[id(cell)][1]

    def _number(self, name: str) -> str:
        return f"{name}{self.count(name)}"

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """While this is open, what is written is written here."""
        token = _TRACE.set(self)
        try:
            yield
        finally:
            _TRACE.reset(token)


def _attribute(owner: object, thing: object) -> str | None:
    """The name of the attribute of ``owner`` that is ``thing``, or that holds it."""
    for name, value in vars(owner).items():
        if value is thing:
            return name
        if isinstance(value, (list, tuple, dict)):
            for key, member in value.items() if isinstance(value, dict) else enumerate(value):
                if member is thing:
                    return f"{name}.{key}"
    return None


_TRACE: contextvars.ContextVar[Trace | None] = contextvars.ContextVar("trace", default=None)


def trace() -> Trace | None:
    """The trace that is open, if any."""
    return _TRACE.get()


def current(what: str) -> Trace:
    """The trace that is open, without which ``what`` makes no sense."""
    found = _TRACE.get()
    if found is None:
        raise error(InvalidValueError, f"{what}: expected a use within the step of a cell, got one outside")
    return found


class Symbol:
    """A value of a step: a shape while the cell is traced, numbers when the cell runs.

    Operators work element by element: ``+ - * /``, ``**`` with a whole power, ``abs``, comparisons (1 where true, else
    0). Shapes meet as NumPy's do, up to rank 2. ``x[2]``, ``x[3:5]``, ``m[:, 2]`` take parts, ``w @ x`` is a product of
    a matrix and a vector. Numbers and NumPy arrays meet symbols as constants. A symbol has no numbers before the cell
    runs, so ``if`` and NumPy's functions do not apply to it; use ``rnnrs.ops``.
    """

    __slots__ = ("_id", "_trace", "_type")

    def __init__(self, trace: Trace, node: int) -> None:
        self._trace = trace
        self._id = node
        self._type = trace.builder.type_of(node)

    @property
    def shape(self) -> Shape:
        """The shape of one sample: () for a number, (n,) for a vector, (m, n) for a matrix."""
        return self._type[1]

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)

    @property
    def kind(self) -> str:
        """``"float"``, or ``"int"`` for indices."""
        return self._type[0]

    @property
    def varies(self) -> bool:
        """Whether it depends on more than parameters and constants."""
        return self._type[2]

    def node(self, trace: Trace) -> int:
        """Its number in the graph of ``trace``."""
        if self._trace is not trace:
            raise error(
                InvalidValueError,
                f"expected symbols of {trace.name}'s present step, got one of "
                f"{'an earlier one' if self._trace.name == trace.name else self._trace.name}",
            )
        return self._id

    def __repr__(self) -> str:
        return f"<symbol of shape {self.shape}>"

    def __len__(self) -> int:
        if not self.shape:
            raise error(ShapeError, "len: expected a vector or matrix, got a symbol of shape ()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Symbol]:
        return (self[index] for index in range(len(self)))

    def __add__(self, other: Any) -> Symbol:
        return elementwise("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return elementwise("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return elementwise("sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return elementwise("sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return elementwise("mul", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return elementwise("mul", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return elementwise("div", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return elementwise("div", other, self)

    def __neg__(self) -> Symbol:
        return elementwise("neg", self)

    def __pos__(self) -> Symbol:
        return self

    def __abs__(self) -> Symbol:
        return elementwise("abs", self)

    def __pow__(self, power: Any) -> Symbol:
        if not isinstance(power, int) or not 1 <= power <= 8:
            raise error(
                InvalidValueError, f"**: expected a whole power of 1 to 8 (else ops.exp, ops.sqrt), got {power!r}"
            )
        result = self
        for _ in range(power - 1):
            result = result * self
        return result

    def __matmul__(self, other: Any) -> Symbol:
        return _matmul(self, other)

    def __rmatmul__(self, other: Any) -> Symbol:
        return _matmul(other, self)

    def __gt__(self, other: Any) -> Symbol:
        return compare(">", self, other)

    def __lt__(self, other: Any) -> Symbol:
        return compare("<", self, other)

    def __ge__(self, other: Any) -> Symbol:
        return compare(">=", self, other)

    def __le__(self, other: Any) -> Symbol:
        return compare("<=", self, other)

    def __eq__(self, other: Any) -> Symbol:  # type: ignore[override]
        return compare("==", self, other)

    def __ne__(self, other: Any) -> Symbol:  # type: ignore[override]
        return compare("!=", self, other)

    __hash__ = object.__hash__

    def __getitem__(self, key: Any) -> Symbol:
        from . import _indexing

        return _indexing.item(self, key)

    def __bool__(self) -> bool:
        raise error(
            DtypeError,
            "a symbol is neither true nor false while its cell is traced: expected ops.select(condition, a, b) in "
            "place of if, ops.maximum and ops.minimum in place of max and min",
        )

    def __float__(self) -> float:
        _no_numbers("a number")

    def __int__(self) -> int:
        _no_numbers("a number")

    def __index__(self) -> int:
        _no_numbers("an index")

    def __array__(self, *_: Any, **__: Any) -> Any:
        _no_numbers("an array")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Symbol:
        # Operators with an array on the left come here.
        if method == "__call__" and not options and len(inputs) == 2:
            if ufunc in _ARITHMETIC:
                return elementwise(_ARITHMETIC[ufunc], *inputs)
            if ufunc in _COMPARISONS:
                return compare(_COMPARISONS[ufunc], *inputs)
            if ufunc is np.matmul:
                return _matmul(*inputs)
        return _no_numpy(ufunc.__name__)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        _no_numpy(function.__name__)


_ARITHMETIC: dict[Any, str] = {np.add: "add", np.subtract: "sub", np.multiply: "mul", np.true_divide: "div"}
_COMPARISONS: dict[Any, str] = {
    np.greater: ">",
    np.less: "<",
    np.greater_equal: ">=",
    np.less_equal: "<=",
    np.equal: "==",
    np.not_equal: "!=",
}


def _matmul(a: Any, b: Any) -> Symbol:
    from . import ops

    return ops.matmul(a, b)


def _no_numbers(what: str) -> NoReturn:
    raise error(
        DtypeError, f"a symbol has no numbers while its cell is traced: expected rnnrs.ops, got a use as {what}"
    )


def _no_numpy(name: str) -> NoReturn:
    raise error(DtypeError, f"numpy.{name}: expected numbers, got a symbol of a cell that is traced; use rnnrs.ops")


class Declared(Symbol):
    """A parameter or constant declared before its cell is traced; it is written when the step first uses it."""

    __slots__ = ()

    def __init__(self, shape: Shape) -> None:
        self._type = "float", shape, False

    def make(self, trace: Trace) -> Symbol:
        """Writes it."""
        raise NotImplementedError

    def node(self, trace: Trace) -> int:
        """Its number in the graph of ``trace``."""
        return trace.once(self, "", lambda: self.make(trace)).node(trace)


class DeclaredParam(Declared):
    """A parameter."""

    __slots__ = ("bound", "init", "line", "name")

    def __init__(self, name: str, shape: Shape, init: str, bound: float | None) -> None:
        super().__init__(shape)
        self.name, self.init, self.bound, self.line = name, init, bound, where()

    def make(self, trace: Trace) -> Symbol:
        return trace.param(self.name, self.shape, self.init, self.bound, self.line)


class DeclaredConstant(Declared):
    """A constant."""

    __slots__ = ("value",)

    def __init__(self, value: _arrays.Array) -> None:
        super().__init__(value.shape)
        self.value = value

    def make(self, _trace: Trace) -> Symbol:
        return symbol(self.value)


def apply(primitive: str, *operands: Symbol, **attributes: Any) -> Symbol:
    """A primitive of the engine's table applied to symbols."""
    now = current(f"ops.{primitive}")
    nodes = [operand.node(now) for operand in operands]
    return Symbol(now, checked(now.builder.apply, primitive, _spec.dumps(attributes), nodes))


def symbol(value: Any, what: str = "a value") -> Symbol:
    """A symbol; numbers and arrays become constants."""
    if isinstance(value, Symbol):
        return value
    now = current(what)
    if isinstance(value, numbers.Real):
        return Symbol(now, checked(now.builder.constant, float(value), ()))
    try:
        array = np.asarray(_arrays.array(value, what), np.float64)
    except DtypeError:
        raise error(
            DtypeError, f"{what}: expected a symbol, a number or an array of numbers, got {type(value).__name__}"
        ) from None
    if array.size and (array == array.flat[0]).all():
        return Symbol(now, checked(now.builder.constant, float(array.flat[0]), array.shape))
    return Symbol(now, checked(now.builder.tensor, array.ravel().tolist(), array.shape))


def elementwise(primitive: str, *operands: Any, **attributes: Any) -> Symbol:
    """An elementwise primitive on operands of shapes that meet as NumPy's do."""
    now = current(f"ops.{primitive}")
    given = [operand if _is_number(operand) else symbol(operand, primitive) for operand in operands]
    symbols = [operand for operand in given if isinstance(operand, Symbol)]
    if any(operand.kind == "int" for operand in symbols):
        raise error(DtypeError, f"{primitive}: expected numbers, got an index (ops.one_hot makes numbers of it)")
    shapes = [operand.shape for operand in symbols]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise error(
            ShapeError, f"{primitive}: expected shapes that meet, got {' and '.join(map(str, shapes))}"
        ) from None
    full = [
        broadcast(operand, shape)
        if isinstance(operand, Symbol)
        else Symbol(now, checked(now.builder.constant, float(operand), shape))
        for operand in given
    ]
    return apply(primitive, *full, **attributes)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, np.ndarray)


def compare(how: str, a: Any, b: Any) -> Symbol:
    """1 where it is so, else 0; where one side is NaN, only ``!=`` is so."""
    if how in ("<", "<="):
        return compare(how.replace("<", ">"), b, a)
    if how == ">":
        return elementwise("greater", a, b)
    equal = elementwise("equal", a, b)
    if how == "==":
        return equal
    return 1.0 - equal if how == "!=" else elementwise("greater", a, b) + equal


def broadcast(value: Symbol, shape: Shape) -> Symbol:
    """The value repeated to a shape of rank 2 or less, as NumPy repeats it."""
    if value.shape == shape:
        return value
    if len(shape) > 2:
        raise error(ShapeError, f"expected shapes of rank 2 or less, or of one shape, got {value.shape} for {shape}")
    if all(extent == 1 for extent in value.shape):
        return apply("broadcast", reshape(value, ()), shape=shape)
    if value.ndim == 2 and value.shape[1] == 1:
        return apply("broadcast", reshape(value, value.shape[:1]), shape=shape, axis=1)
    return apply("broadcast", reshape(value, value.shape[-1:]), shape=shape, axis=0)


def reshape(value: Symbol, shape: Shape) -> Symbol:
    """The same elements in another shape."""
    return value if value.shape == shape else apply("reshape", value, shape=shape)
