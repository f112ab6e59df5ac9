"""A cell's values as polynomials: however its equations were written, equal ones become equal here.

A polynomial is a sum of products of atoms with numbers as coefficients. Atoms are states, inputs, products with a
matrix, and functions such as tanh of a polynomial; what depends on parameters alone is a number, for at export
parameters are known. So h + z (n - h) and (1 - z) h + z n are the same polynomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._graph import Cell

Array = NDArray[np.float64]
Monomial = tuple[int, ...]
"""Numbers of atoms, ascending; () for what depends on none."""
Poly = dict[Monomial, Array]
_LARGEST = 64
"""Products of sums that would have more summands stay as they are."""


@dataclass(frozen=True)
class Atom:
    """What a polynomial is made of."""

    kind: str
    """``"state"``, ``"node"`` (a value as it is), ``"linear"`` (a matrix times a polynomial), or a function's name."""
    node: int
    """Where it is computed in the graph."""
    start: int
    stop: int
    """The elements of that node which it stands for."""
    matrix: Array | None = None
    inner: tuple[Poly, ...] = ()
    """What it is applied to."""
    states: frozenset[int] = frozenset()
    """Numbers of the states on which it depends."""


class Algebra:
    """The polynomials of a cell's nodes."""

    def __init__(self, cell: Cell, constants: dict[int, Any]) -> None:
        self.cell = cell
        self.atoms: list[Atom] = []
        self._constants = constants
        self._known: dict[object, int] = {}
        self._done: dict[tuple[int, int, int], Poly] = {}

    def poly(self, index: int) -> Poly:
        """The polynomial of a vector."""
        return self._part(index, 0, self.width(index))

    def width(self, index: int) -> int:
        """Elements of a node."""
        shape = self.cell.nodes[index].shape
        return int(np.prod(shape)) if shape else 1

    def find(self, function: str, inner: Poly) -> int | None:
        """The number of the atom that is a function of a polynomial, if the cell has it."""
        return self._known.get((function, (), None, (signature(inner),)))

    def _part(self, index: int, start: int, stop: int) -> Poly:
        key = (index, start, stop)
        if key not in self._done:
            self._done[key] = self._make(index, start, stop)
        return self._done[key]

    def _make(self, index: int, start: int, stop: int) -> Poly:
        node = self.cell.nodes[index]
        if index in self._constants:
            values = np.broadcast_to(np.asarray(self._constants[index], np.float64), node.shape).reshape(-1)[start:stop]
            return _clean({(): values})

        def arg(place: int) -> Poly:
            return self._part(node.args[place], start, stop)

        kind = node.kind
        if len(node.shape) != 1 and kind not in _LINEAR:
            return self._whole(index, start, stop)
        if kind in ("flush", "stop"):
            return arg(0)
        if kind == "neg":
            return scaled(arg(0), -1.0)
        if kind == "add":
            return added(arg(0), arg(1))
        if kind == "sub":
            return added(arg(0), scaled(arg(1), -1.0))
        if kind in ("mul", "fma"):
            product = times(arg(0), arg(1))
            if product is None:
                return self._whole(index, start, stop)
            return product if kind == "mul" else added(product, arg(2))
        if kind == "div" and set(arg(1)) == {()} and np.all(arg(1)[()] != 0):
            return scaled(arg(0), 1.0 / arg(1)[()])
        if kind == "slice":
            first = int(node.attributes["from"])
            return self._part(node.args[0], first + start, first + stop)
        if kind == "concat":
            begin = 0
            for place in node.args:
                end = begin + self.width(place)
                if begin <= start and stop <= end:
                    return self._part(place, start - begin, stop - begin)
                begin = end
            return self._whole(index, start, stop)
        if kind in _LINEAR:
            return self._products(index, start, stop)
        if kind in _FUNCTIONS:
            return self._atom(kind, index, start, stop, inner=tuple(arg(place) for place in range(len(node.args))))
        return self._whole(index, start, stop)

    def _whole(self, index: int, start: int, stop: int) -> Poly:
        kind = "state" if self.cell.nodes[index].kind == "state" else "node"
        return self._atom(kind, index, start, stop)

    def _products(self, index: int, start: int, stop: int) -> Poly:
        """A sum of products with matrices."""
        node = self.cell.nodes[index]
        first = int(node.attributes.get("init", False))
        transposed = node.attributes.get("transposed", [False])
        total: Poly = self._part(node.args[0], start, stop) if first else {}
        for term, swap in enumerate(transposed):
            x, weight = node.args[first + 2 * term], node.args[first + 2 * term + 1]
            matrix = np.asarray(self._constants[weight], np.float64)
            matrix = (matrix.T if swap else matrix)[start:stop]
            inner = self.poly(x) if len(self.cell.nodes[x].shape) == 1 else self._whole(x, 0, self.width(x))
            total = added(total, self._atom("linear", index, start, stop, matrix, (inner,)))
        return total

    def _atom(
        self,
        kind: str,
        index: int,
        start: int,
        stop: int,
        matrix: Array | None = None,
        inner: tuple[Poly, ...] = (),
    ) -> Poly:
        place = (index, start, stop) if not inner else ()
        key = (kind, place, None if matrix is None else (matrix.shape, matrix.tobytes()), tuple(map(signature, inner)))
        if key not in self._known:
            self._known[key] = len(self.atoms)
            atom = Atom(kind, index, start, stop, matrix, inner, self._states(index, inner))
            self.atoms.append(atom)
        return {(self._known[key],): np.ones(())}

    def _states(self, index: int, inner: tuple[Poly, ...]) -> frozenset[int]:
        if inner:
            return frozenset().union(*(self.atoms[a].states for poly in inner for monomial in poly for a in monomial))
        return self.cell.states_of(index)


_LINEAR = ("linear", "affine")
_FUNCTIONS = ("sigmoid", "tanh", "relu", "exp", "log", "softplus", "sqrt", "sin", "cos", "abs", "sign", "floor")


def signature(poly: Poly) -> tuple[object, ...]:
    """Equal for equal polynomials."""
    return tuple(sorted((monomial, c.shape, c.tobytes()) for monomial, c in poly.items()))


def _clean(poly: Poly) -> Poly:
    """Without summands that are zero; coefficients that are alike in all elements become one number."""
    kept = {}
    for monomial, coefficient in poly.items():
        if coefficient.ndim and coefficient.size and np.all(coefficient == coefficient.flat[0]):
            coefficient = np.asarray(coefficient.flat[0])
        if np.any(coefficient != 0):
            kept[monomial] = np.asarray(coefficient, np.float64)
    return kept


def added(a: Poly, b: Poly) -> Poly:
    """A + b"""
    total = dict(a)
    for monomial, coefficient in b.items():
        total[monomial] = total[monomial] + coefficient if monomial in total else coefficient
    return _clean(total)


def scaled(a: Poly, factor: Any) -> Poly:
    """Factor · a"""
    return _clean({monomial: coefficient * factor for monomial, coefficient in a.items()})


def times(a: Poly, b: Poly) -> Poly | None:
    """A · b, element by element, if that is not too long."""
    if len(a) * len(b) > _LARGEST:
        return None
    total: Poly = {}
    for m, x in a.items():
        for n, y in b.items():
            total = added(total, {tuple(sorted(m + n)): x * y})
    return total
