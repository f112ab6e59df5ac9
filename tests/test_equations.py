"""Equations and drawings of cells, from their graphs."""

import json
import re
import shutil

import numpy as np
import pytest

import rnnrs
from rnnrs import ops
from test_own_cell import LSTM, MGU, Everything

CELLS = [getattr(rnnrs.cells, name) for name in rnnrs.cells.__all__ if name != "CellSpec"]


def test_text():
    assert str(rnnrs.cells.Elman(2, 3).equations()) == (
        "h' = tanh(weight_ih x + weight_hh h + bias_ih + bias_hh)\ny = h'"
    )
    c, h, y = str(LSTM(2, 3).equations()).splitlines()
    forget, remember = (f"sigmoid({gate}.weight_x x + {gate}.weight_h h + {gate}.bias)" for gate in "fi")
    assert c == f"c' = {forget} * c + {remember} * tanh(g.weight_x x + g.weight_h h + g.bias)"
    assert h == "h' = sigmoid(o.weight_x x + o.weight_h h + o.bias) * tanh(c')"
    assert y == "y = h'"


def test_latex():
    assert MGU(2, 3).equations().latex == (
        "\\begin{aligned}\n"
        "v_{1} &= \\sigma\\left(W_{\\mathrm{f, x}} x + W_{\\mathrm{f, h}} h + b_{f}\\right) \\\\\n"
        "h' &= h + v_{1} \\odot \\left(\\tanh\\left(W_{\\mathrm{n, x}} x + W_{\\mathrm{n, 1}} "
        "\\left(v_{1} \\odot h\\right) + b_{n}\\right) - h\\right) \\\\\n"
        "y &= h'\n"
        "\\end{aligned}"
    )
    assert MGU(2, 3).equations()._repr_latex_().startswith("$\\begin{aligned}")


class Terms(rnnrs.Cell):
    """What has a form of its own."""

    def __init__(self, body):
        super().__init__(input=3, state={"h": 3})
        self.body = body

    def step(self, x, h):
        return self.body(self, x, h), h


@pytest.mark.parametrize(
    ("body", "text", "latex"),
    [
        (lambda c, x, h: x - (h - x), "x - (h - x)", r"x - \left(h - x\right)"),
        (lambda c, x, h: (x + h) * x, "(x + h) * x", r"\left(x + h\right) \odot x"),
        (lambda c, x, h: x / (h * x), "x / (h * x)", r"\frac{x}{h \odot x}"),
        (lambda c, x, h: x + -h, "x + (-h)", r"x + \left(-h\right)"),
        (lambda c, x, h: 2 * x + 0.5, "2 * x + 0.5", r"2 \, x + 0.5"),
        (lambda c, x, h: x[1:3], "x[1:3]", r"{x}_{[1:3]}"),
        (lambda c, x, h: x * ops.mean(h), "x * mean(h)", r"x \, \operatorname{mean}\left(h\right)"),
        (lambda c, x, h: ops.sqrt(abs(x)), "sqrt(abs(x))", r"\sqrt{\left|x\right|}"),
        (lambda c, x, h: x > h, "[x > h]", r"\left[x > h\right]"),
        (lambda c, x, h: x + 1e-5, "x + 1e-05", r"x + 1 \cdot 10^{-5}"),
        (lambda c, x, h: ops.select(x, h, 0), "select(x, h, 0)", r"\operatorname{select}\left(x, h, 0\right)"),
        (lambda c, x, h: ops.outer(x, h) @ x, "(x * h) x", None),
        (
            lambda c, x, h: ops.solve(c.param("a", (3, 3)), x),
            "solve(a, x)",
            r"\operatorname{solve}\left(a, x\right)",
        ),
        (lambda c, x, h: x * np.array([1.0, 2.0, 0.5]), "x * v1", r"x \odot v_{1}"),
        (lambda c, x, h: ops.dropout(x, 0.5), "x * bernoulli(probability=0.5, value=2.0)", None),
    ],
)
def test_terms(body, text, latex):
    equations = Terms(body).equations()
    assert str(equations).splitlines()[-1] == f"y = {text}"
    if latex is not None:
        assert equations.latex.splitlines()[-2] == f"y &= {latex}"


def test_states_that_move_on():
    class Delay(rnnrs.Cell):
        def __init__(self):
            super().__init__(input=2, state={"a": 2, "b": 2, "c": 2, "d": 2})

        def step(self, x, a, b, c, d):
            z = ops.tanh(a + d)
            return x, a, z, z

    assert str(Delay().equations()).splitlines() == [
        "c' = tanh(a + d)",
        "a' = x",
        "b' = a",
        "d' = c'",
        "y = x",
    ]


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.__name__)
def test_every_cell_has_equations_and_a_drawing(cell):
    made = cell(
        2, 4, **{"MTRNN": {"groups": [2, 2], "time_constants": [1.0, 4.0]}}.get(cell.__name__, {}), **sizes(cell)
    )
    text, latex = str(made.equations()), made.equations().latex
    graph = json.loads(made._graph())
    for node in graph["nodes"]:
        if node["node"] == "state":
            assert f"{node['name']}' = " in text
        if node["node"] == "param":
            assert node["name"] in text
    assert "y = " in text
    for opening, closing in ("()", "[]"):
        assert text.count(opening) == text.count(closing)
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left") == latex.count(r"\right")
    assert well_formed(str(made.draw()))


def sizes(cell):
    """What a cell must be told besides its sizes."""
    import inspect

    needed = [p.name for p in inspect.signature(cell).parameters.values() if p.default is p.empty]
    return {"output_size": 2} if "output_size" in needed else {}


def well_formed(dot):
    """Whether every edge joins nodes that are declared, once each."""
    nodes = re.findall(r"^  (\w+) \[label", dot, re.M)
    edges = re.findall(r"^  (\w+) -> (\w+)", dot, re.M)
    return len(nodes) == len(set(nodes)) and {end for edge in edges for end in edge} <= set(nodes) and len(edges) > 1


def test_a_drawing():
    drawing = MGU(2, 3).draw()
    assert str(drawing).startswith('digraph "MGU" {')
    assert well_formed(str(drawing))
    assert '"f.weight_x\\n(3, 2)"' in str(drawing)
    assert "-> n1 [style=dashed" in str(drawing)  # from h' back to h
    bundle = drawing._repr_mimebundle_()
    assert bundle["text/plain"] == str(drawing) == repr(drawing)
    assert ("image/svg+xml" in bundle) == (shutil.which("dot") is not None)


def test_a_drawing_becomes_a_picture_where_there_is_dot(tmp_path, monkeypatch):
    """With a program that stands for Graphviz's."""
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\n[ "$1" = -Tsvg ] && read -r first && echo "<svg>$first</svg>"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert Everything(4).draw()._repr_mimebundle_()["image/svg+xml"] == '<svg>digraph "Everything" {</svg>\n'
