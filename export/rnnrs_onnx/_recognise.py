"""Which cells are exactly ONNX's RNN, GRU or LSTM: told from their equations, not from their names.

With i, o, f, z, r gates σ(W x + R h + b), the operators compute

    RNN   h' = φ(W x + R h + b), φ = tanh or relu
    GRU   h' = (1 - z) n + z h, n = tanh(W x + r (R h + c) + b) or tanh(W x + R (r h) + b)
    LSTM  c' = f c + i g, h' = o tanh(c'), g = tanh(W x + R h + b), gates with peepholes p c (o: p c')

A gate that is written as 1 - σ(a) is σ(-a), so coupled gates are LSTMs too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._algebra import Algebra, Array, Atom, Poly, added, scaled, signature, times
from ._graph import Cell


@dataclass
class Gate:
    """W x + R h + b, with p c for peepholes."""

    w: Array
    r: Array
    b: Array
    p: Array | None = None


@dataclass
class Operator:
    """An operator of ONNX that a cell is."""

    kind: str
    """``"RNN"``, ``"GRU"`` or ``"LSTM"``"""
    gates: list[Gate]
    """In the order of ONNX: LSTM i, o, f, c; GRU z, r, h."""
    states: list[int]
    """Which states of the cell are the operator's h and c."""
    activation: str = "Tanh"
    """Of an RNN."""
    reset_after: bool = False
    """Of a GRU: whether r multiplies after R, linear_before_reset."""
    recurrent_bias: Array | None = field(default=None)
    """Of such a GRU: c."""

    @property
    def peephole(self) -> bool:
        """Whether a gate sees c."""
        return any(gate.p is not None for gate in self.gates)


def recognise(cell: Cell, constants: dict[int, Any]) -> Operator | None:
    """The operator that a cell is, apart from what its output makes of h, x and parameters."""
    if cell.tokens or any(len(cell.nodes[before].shape) != 1 for _, before, _ in cell.states):
        return None
    algebra = Algebra(cell, constants)
    reader = _Reader(algebra)
    if len(cell.states) == 1:
        found = reader.rnn() or reader.gru()
    elif len(cell.states) == 2:
        found = reader.lstm(0, 1) or reader.lstm(1, 0)
    else:
        found = None
    return found if found and _reads_new_h(cell, found) else None


def _reads_new_h(cell: Cell, found: Operator) -> bool:
    """Whether the output can be had from the sequence of new h: what the operator gives."""
    aliases = sources(cell, cell.states[found.states[0]][2])
    open_nodes, seen = [cell.output], set()
    while open_nodes:
        index = open_nodes.pop()
        if index in seen or index in aliases:
            continue
        seen.add(index)
        if cell.nodes[index].kind == "state":
            return False
        open_nodes.extend(cell.nodes[index].args)
    return True


def sources(cell: Cell, index: int) -> set[int]:
    """A node and those of which it is a copy."""
    found = {index}
    while cell.nodes[index].kind in ("flush", "stop"):
        index = cell.nodes[index].args[0]
        found.add(index)
    return found


class _Reader:
    def __init__(self, algebra: Algebra) -> None:
        self._algebra = algebra
        self._cell = algebra.cell
        self._before = [algebra.poly(before) for _, before, _ in self._cell.states]
        self._after = [algebra.poly(after) for _, _, after in self._cell.states]
        self._x = algebra.poly(self._cell.input)

    def rnn(self) -> Operator | None:
        atom = self._single(self._after[0])
        if atom is None or atom.kind not in ("tanh", "relu"):
            return None
        gate = self._gate(atom.inner[0], self._before[0])
        return None if gate is None else Operator("RNN", [gate], [0], activation=atom.kind.capitalize())

    def gru(self) -> Operator | None:
        h, after = self._before[0], self._after[0]
        for factor in self._candidates(after, "sigmoid"):
            for z, sign in ((factor, 1.0), (added({(): np.ones(())}, scaled(factor, -1.0)), -1.0)):
                # n (1 - z) = h' - z h
                keep = times(z, h)
                rest = added(after, scaled(keep, -1.0)) if keep is not None else {}
                for n in self._candidates(rest, "tanh"):
                    made = times(n, added({(): np.ones(())}, scaled(z, -1.0)))
                    if made is None or signature(made) != signature(rest):
                        continue
                    atom = self._single(factor)
                    update = atom and self._gate(scaled(atom.inner[0], sign), h)
                    found = update and self._gru(update, self._single(n), h)
                    if found:
                        return found
        return None

    def _gru(self, update: Gate, n: Atom | None, h: Poly) -> Operator | None:
        assert n is not None
        inner = n.inner[0]
        for r in self._candidates(inner, "sigmoid") or self._inside(inner, "sigmoid"):
            atom = self._single(r)
            reset = atom and self._gate(atom.inner[0], h)
            if not reset:
                continue
            # After: W x + b + r (R h + c); the summands with r, r taken out of them.
            [number] = next(iter(r))
            with_r = {m: c for m, c in inner.items() if number in m}
            without = {m: c for m, c in inner.items() if number not in m}
            if with_r:
                inside = {tuple(a for a in m if a != number): c for m, c in with_r.items()}
                if any(m.count(number) != 1 for m in with_r):
                    continue
                own, fed = self._gate(without, None), self._gate(inside, h, no_x=True)
                if own and fed:
                    gate = Gate(own.w, fed.r, own.b)
                    return Operator("GRU", [update, reset, gate], [0], reset_after=True, recurrent_bias=fed.b)
            product = times(r, h)
            candidate = self._gate(inner, product) if product is not None else None
            if candidate is not None:
                return Operator("GRU", [update, reset, candidate], [0])
        return None

    def lstm(self, hidden: int, carry: int) -> Operator | None:
        h, c = self._before[hidden], self._before[carry]
        new_h, new_c = self._after[hidden], self._after[carry]
        tanh = self._algebra.find("tanh", new_c)
        if tanh is None:
            return None
        for o in self._candidates(new_h, "sigmoid"):
            made = times(o, {(tanh,): np.ones(())})
            if made is None or signature(made) != signature(new_h):
                continue
            found = self._cell_state(h, c, new_c)
            output = self._gated(o, h, new_c)
            if found and output:
                forget, write, candidate = found
                return Operator("LSTM", [write, output, forget, candidate], [hidden, carry])
        return None

    def _cell_state(self, h: Poly, c: Poly, new_c: Poly) -> tuple[Gate, Gate, Gate] | None:
        """f, i and g of c' = f c + i g."""
        gates = [(gate, sign) for gate in self._candidates(new_c, "sigmoid") for sign in (1.0, -1.0)]
        one: Poly = {(): np.ones(())}
        for f, f_sign in gates:
            forget = f if f_sign > 0 else added(one, scaled(f, -1.0))
            kept = times(forget, c)
            if kept is None:
                continue
            rest = added(new_c, scaled(kept, -1.0))
            for g in self._candidates(rest, "tanh"):
                for i, i_sign in gates:
                    made = times(i if i_sign > 0 else added(one, scaled(i, -1.0)), g)
                    if made is None or signature(made) != signature(rest):
                        continue
                    forget_gate = self._gated(f, h, c, f_sign)
                    write_gate = self._gated(i, h, c, i_sign)
                    atom = self._single(g)
                    candidate = atom and self._gate(atom.inner[0], h)
                    if forget_gate and write_gate and candidate:
                        return forget_gate, write_gate, candidate
        return None

    def _gated(self, gate: Poly, h: Poly, c: Poly, sign: float = 1.0) -> Gate | None:
        """σ(sign · a) with a peephole on c."""
        atom = self._single(gate)
        return None if atom is None else self._gate(scaled(atom.inner[0], sign), h, c)

    def _gate(self, poly: Poly, h: Poly | None, c: Poly | None = None, *, no_x: bool = False) -> Gate | None:
        """W x + R h + b + p c, if that is what a polynomial is."""
        if c is not None:
            peephole = self._peephole(poly, c)
            if peephole is not None:
                left = added(poly, scaled({m: np.asarray(k) for m, k in c.items()}, -peephole))
                gate = self._gate(left, h, None, no_x=no_x)
                if gate:
                    gate.p = np.broadcast_to(peephole, (len(gate.b),))
                    return gate
        width = self._algebra.width(self._cell.states[0][1])
        size = self._algebra.width(self._cell.input)
        w, r, b = np.zeros((width, size)), np.zeros((width, width)), np.zeros(width)
        x_signature = signature(self._x)
        h_signature = signature(h) if h is not None else None
        for monomial, coefficient in poly.items():
            if monomial == ():
                b = b + coefficient
                continue
            if len(monomial) != 1:
                return None
            atom = self._algebra.atoms[monomial[0]]
            if atom.kind != "linear" or atom.matrix is None:
                return None
            matrix = atom.matrix * (coefficient if coefficient.ndim == 0 else coefficient[:, None])
            inner = signature(atom.inner[0])
            if inner == x_signature and not no_x and matrix.shape == w.shape:
                w = w + matrix
            elif inner == h_signature and matrix.shape == r.shape:
                r = r + matrix
            else:
                return None
        return Gate(w, r, b)

    def _peephole(self, poly: Poly, c: Poly) -> Array | None:
        """p, if the polynomial has the summands p c."""
        ratio = None
        for monomial, coefficient in c.items():
            if monomial not in poly:
                return None
            found = poly[monomial] / coefficient
            if ratio is not None and not np.array_equal(ratio, found):
                return None
            ratio = found
        return ratio

    def _single(self, poly: Poly) -> Atom | None:
        """The atom that a polynomial is."""
        if len(poly) == 1:
            [(monomial, coefficient)] = poly.items()
            if len(monomial) == 1 and coefficient.ndim == 0 and coefficient == 1:
                return self._algebra.atoms[monomial[0]]
        return None

    def _candidates(self, poly: Poly, kind: str) -> list[Poly]:
        """The functions of a kind among a polynomial's factors."""
        numbers = sorted({atom for monomial in poly for atom in monomial})
        return [{(n,): np.ones(())} for n in numbers if self._algebra.atoms[n].kind == kind]

    def _inside(self, poly: Poly, kind: str) -> list[Poly]:
        """The functions of a kind within products with matrices."""
        found = []
        for monomial in poly:
            for number in monomial:
                for inner in self._algebra.atoms[number].inner:
                    found.extend(self._candidates(inner, kind))
        return found
