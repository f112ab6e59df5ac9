"""The equations of a cell, written from its graph: as text and as LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from . import _core, _nodes
from ._nodes import Node, Nodes

# How tightly an expression holds together: one that is looser than its place wants stands in parentheses.
_SUM, _TERM, _FACTOR, _ATOM = range(4)
Written = tuple[str, int]


class Equations:
    """The equations of one step of a cell: ``str()`` gives text, ``latex`` LaTeX, which a notebook shows."""

    def __init__(self, graph: str) -> None:
        self._nodes = _nodes.read(graph, _core.graph_shapes(graph))

    def __str__(self) -> str:
        return "\n".join(f"{left} = {right}" for left, right in _Writer(self._nodes, _Text()).lines())

    def __repr__(self) -> str:
        return str(self)

    @property
    def latex(self) -> str:
        """An ``aligned`` environment, to be put into mathematics."""
        lines = [f"{left} &= {right}" for left, right in _Writer(self._nodes, _Latex()).lines()]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"


class _Text:
    """How things are written as text."""

    times = " * "
    functions: dict[str, str] = {}  # noqa: RUF012 - never changed

    def number(self, value: float) -> str:
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)

    def name(self, name: str) -> str:
        return name

    def prime(self, name: str) -> str:
        return f"{name}'"

    def call(self, function: str, arguments: list[str]) -> str:
        return f"{function}({', '.join(arguments)})"

    def brackets(self, text: str) -> str:
        return f"({text})"

    def ratio(self, above: Written, below: Written) -> Written:
        return f"{_within(self, above, _TERM)} / {_within(self, below, _FACTOR)}", _TERM

    def part(self, value: str, axis: int, start: int, stop: int) -> str:
        return f"{value}[{':, ' * axis}{start}:{stop}]"

    def transposed(self, value: str) -> str:
        return f"{value}^T"

    def comparison(self, a: str, how: str, b: str) -> Written:
        return f"[{a} {how} {b}]", _ATOM

    def root(self, value: str) -> str:
        return self.call("sqrt", [value])

    def magnitude(self, value: str) -> str:
        return self.call("abs", [value])


class _Latex:
    """How things are written in LaTeX."""

    times = r" \odot "
    functions = {  # noqa: RUF012 - never changed
        "sigmoid": r"\sigma",
        "tanh": r"\tanh",
        "exp": r"\exp",
        "log": r"\ln",
        "sin": r"\sin",
        "cos": r"\cos",
        "max": r"\max",
        "sum": r"\textstyle\sum",
    }

    def number(self, value: float) -> str:
        mantissa, _, exponent = _Text().number(value).partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa

    def name(self, name: str) -> str:
        # weight_ih is W_ih, f.bias is b_f, h0 is h_0; other names stand as they are.
        *prefix, last = name.split(".")
        head, _, index = last.partition("_")
        head = {"weight": "W", "bias": "b"}.get(head, head)
        counted = re.fullmatch(r"([A-Za-z])(\d+)", head)
        if counted:
            head, index = counted[1], ", ".join(filter(None, [counted[2], index]))
        if len(head) > 1:
            head = rf"\mathit{{{_escaped(head)}}}"
        indices = ", ".join(_escaped(part) for part in [*prefix, index] if part)
        if not indices:
            return head
        return f"{head}_{{{indices}}}" if len(indices) == 1 else rf"{head}_{{\mathrm{{{indices}}}}}"

    def prime(self, name: str) -> str:
        head, sub, index = self.name(name).partition("_{")
        return f"{head}'{sub}{index}"

    def call(self, function: str, arguments: list[str]) -> str:
        name = self.functions.get(function, rf"\operatorname{{{_escaped(function)}}}")
        return rf"{name}\left({', '.join(arguments)}\right)"

    def brackets(self, text: str) -> str:
        return rf"\left({text}\right)"

    def ratio(self, above: Written, below: Written) -> Written:
        return rf"\frac{{{above[0]}}}{{{below[0]}}}", _FACTOR

    def part(self, value: str, axis: int, start: int, stop: int) -> str:
        return rf"{{{value}}}_{{[{':, ' * axis}{start}:{stop}]}}"

    def transposed(self, value: str) -> str:
        return rf"{{{value}}}^\top"

    def comparison(self, a: str, how: str, b: str) -> Written:
        return rf"\left[{a} {how} {b}\right]", _ATOM

    def root(self, value: str) -> str:
        return rf"\sqrt{{{value}}}"

    def magnitude(self, value: str) -> str:
        return rf"\left|{value}\right|"


Style = _Text | _Latex


def _escaped(text: str) -> str:
    return text.replace("_", r"\_")


def _within(style: Style, written: Written, place: int) -> str:
    """An expression where one that holds together at least as tightly as ``place`` is wanted."""
    text, tightness = written
    return text if tightness >= place else style.brackets(text)


class _Writer:
    """Writes one graph in one style."""

    def __init__(self, graph: Nodes, style: Style) -> None:
        self._graph = graph
        self._style = style
        self._done: dict[int, Written] = {}
        """What stands for a node from now on."""

    def lines(self) -> list[tuple[str, str]]:
        """(left side, right side) of each equation."""
        graph, style = self._graph, self._style
        after: dict[int, str] = {}
        for name, _, new in graph.states:
            if graph.nodes[new].kind not in _LEAVES:
                after.setdefault(new, style.prime(name))
        lines: list[tuple[str, str]] = []
        count = 0
        for index in graph.needed:
            node = graph.nodes[index]
            expression = self._leaf(node) if node.kind in _LEAVES else self._expression(node)
            if index in after:
                name = after[index]
            elif node.kind == "tensor" or (len(node.users) > 1 and node.kind not in _SEEN_THROUGH):
                count += 1
                name = style.name(f"v{count}")
            else:
                self._done[index] = expression
                continue
            lines.append((name, expression[0]))
            self._done[index] = name, _ATOM
        for name, _, new in graph.states:
            if after.get(new) != style.prime(name):
                lines.append((style.prime(name), self._done[new][0]))
        lines += [(style.name("y"), self._done[output][0]) for output in graph.outputs]
        return lines

    def _leaf(self, node: Node) -> Written:
        if node.kind == "constant":
            return self._style.number(node.value), _ATOM if node.value >= 0 else _SUM
        if node.kind == "tensor":
            shape = ", ".join(map(str, node.shape))
            shown = ", ".join(map(self._style.number, node.value)) if len(node.value) <= 8 else "..."
            return f"[{shown}]" if len(node.shape) == 1 else f"[{shown}] ({shape})", _ATOM
        return self._style.name(node.name), _ATOM

    def _at(self, index: int, place: int = _SUM) -> str:
        return _within(self._style, self._done[index], place)

    def _added(self, index: int) -> str:
        text = self._at(index)
        return self._style.brackets(text) if text.startswith("-") else text

    def _expression(self, node: Node) -> Written:
        special = _SPECIAL.get(node.kind)
        if special is not None:
            return special(self, node)
        return self._call(node.kind, node.args, node), _ATOM

    def _call(self, function: str, args: list[int], node: Node) -> str:
        hidden = ("label", "shape", "per_sequence")
        shown = {k: v for k, v in node.attributes.items() if k not in hidden and v is not False}
        return self._style.call(function, [self._at(arg) for arg in args] + [f"{k}={v}" for k, v in shown.items()])

    def _times(self, a: int, b: int) -> str:
        # A number times a vector needs no sign for "element by element".
        vectors = all(self._graph.nodes[arg].shape and not self._is_scalar(arg) for arg in (a, b))
        times = self._style.times if vectors or isinstance(self._style, _Text) else r" \, "
        return f"{self._at(a, _TERM)}{times}{self._at(b, _TERM)}"

    def _is_scalar(self, index: int) -> bool:
        return self._graph.nodes[index].kind in ("constant", "broadcast")

    def _applied(self, matrix: str, vector: str) -> Written:
        return f"{matrix} {vector}", _FACTOR


def _add(w: _Writer, n: Node) -> Written:
    return f"{w._at(n.args[0])} + {w._added(n.args[1])}", _SUM


def _sub(w: _Writer, n: Node) -> Written:
    return f"{w._at(n.args[0])} - {w._at(n.args[1], _TERM)}", _SUM


def _mul(w: _Writer, n: Node) -> Written:
    summed, factor = (w._graph.nodes[arg] for arg in n.args)
    if summed.kind == "sum" and len(summed.users) == 1 and factor.kind == "constant":
        [over] = summed.args
        shape = w._graph.nodes[over].shape
        axis = summed.attributes.get("axis")
        if factor.value == 1.0 / (math.prod(shape) if axis is None else shape[axis]):
            return w._call("mean", [over], summed), _ATOM
    return w._times(*n.args), _TERM


def _fma(w: _Writer, n: Node) -> Written:
    return f"{w._times(*n.args[:2])} + {w._added(n.args[2])}", _SUM


def _neg(w: _Writer, n: Node) -> Written:
    return f"-{w._at(n.args[0], _TERM)}", _SUM


def _div(w: _Writer, n: Node) -> Written:
    return w._style.ratio(w._done[n.args[0]], w._done[n.args[1]])


def _linear(w: _Writer, n: Node) -> Written:
    return w._applied(w._at(n.args[1], _FACTOR), w._at(n.args[0], _ATOM))


def _linear_transposed(w: _Writer, n: Node) -> Written:
    return w._applied(w._style.transposed(w._at(n.args[1], _ATOM)), w._at(n.args[0], _ATOM))


def _matmul(w: _Writer, n: Node) -> Written:
    sides = [
        w._style.transposed(w._at(arg, _ATOM)) if flipped else w._at(arg, _ATOM)
        for arg, flipped in zip(n.args, n.attributes["transposed"], strict=True)
    ]
    return w._applied(*sides)


def _transpose(w: _Writer, n: Node) -> Written:
    return w._style.transposed(w._at(n.args[0], _ATOM)), _ATOM


def _slice(w: _Writer, n: Node) -> Written:
    a = n.attributes
    return w._style.part(w._at(n.args[0], _ATOM), a.get("axis", 0), a["from"], a["to"]), _ATOM


def _same(w: _Writer, n: Node) -> Written:
    return w._done[n.args[0]]


def _sqrt(w: _Writer, n: Node) -> Written:
    return w._style.root(w._at(n.args[0])), _ATOM


def _abs(w: _Writer, n: Node) -> Written:
    return w._style.magnitude(w._at(n.args[0])), _ATOM


def _comparison(how: str) -> Callable[[_Writer, Node], Written]:
    return lambda w, n: w._style.comparison(w._at(n.args[0]), how, w._at(n.args[1]))


_LEAVES = ("param", "input", "state", "constant", "tensor")
_SEEN_THROUGH = (*_LEAVES, "slice", "broadcast", "reshape", "transpose")
_SPECIAL: dict[str, Callable[[_Writer, Node], Written]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "fma": _fma,
    "neg": _neg,
    "div": _div,
    "sqrt": _sqrt,
    "abs": _abs,
    "linear": _linear,
    "linear_transposed": _linear_transposed,
    "matmul": _matmul,
    "transpose": _transpose,
    "slice": _slice,
    "broadcast": _same,
    "reshape": _same,
    "greater": _comparison(">"),
    "equal": _comparison("="),
}
