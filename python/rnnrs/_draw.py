"""The graph of a cell as a picture: in the DOT language of Graphviz."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from . import _core, _nodes
from ._nodes import Node

_SIGNS = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "sigmoid": "σ",
    "linear": "W x",
    "matmul": "A B",
    "greater": ">",
}
_STYLES = {
    "input": "shape=box, style=filled, fillcolor=lightblue",
    "state": "shape=box, style=filled, fillcolor=palegreen",
    "param": "shape=box, style=filled, fillcolor=moccasin",
    "constant": "shape=plaintext",
    "tensor": "shape=plaintext",
}


class Drawing:
    """A cell's graph: ``str()`` gives DOT; a notebook shows a picture where Graphviz's program ``dot`` is there."""

    def __init__(self, graph: str) -> None:
        self._nodes = _nodes.read(graph, _core.graph_shapes(graph))

    def __str__(self) -> str:
        graph = self._nodes
        lines = [f"digraph {_quoted(graph.name)} {{", "  rankdir=BT;", '  node [fontname="Helvetica", fontsize=11];']
        for index in graph.needed:
            node = graph.nodes[index]
            style = _STYLES.get(node.kind, "shape=ellipse")
            lines.append(f"  n{index} [label={_quoted(_label(node))}, {style}];")
            lines += [f"  n{arg} -> n{index};" for arg in node.args]
        for name, before, after in graph.states:
            end = f"after{before}"
            lines.append(f"  {end} [label={_quoted(name + chr(39))}, {_STYLES['state']}];")
            lines.append(f"  n{after} -> {end};")
            if before in graph.needed:
                lines.append(f"  {end} -> n{before} [style=dashed, constraint=false];")
        for place, output in enumerate(graph.outputs):
            lines.append(f"  y{place} [label=y, {_STYLES['input']}];")
            lines.append(f"  n{output} -> y{place};")
        return "\n".join([*lines, "}"])

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        shown = {"text/plain": str(self)}
        program = shutil.which("dot")
        if program is not None:
            done = subprocess.run([program, "-Tsvg"], input=str(self), capture_output=True, text=True, check=True)
            shown["image/svg+xml"] = done.stdout
        return shown


def _label(node: Node) -> str:
    if node.kind in ("param", "input", "state"):
        return f"{node.name}\n({', '.join(map(str, node.shape))})"
    if node.kind == "constant":
        return f"{node.value:g}"
    if node.kind == "tensor":
        return f"constant\n({', '.join(map(str, node.shape))})"
    if node.kind == "slice":
        return f"[{node.attributes['from']}:{node.attributes['to']}]"
    return _SIGNS.get(node.kind, node.kind)


def _quoted(text: str) -> str:
    """A string of DOT: that of JSON but for characters that need no escape there."""
    return json.dumps(text, ensure_ascii=False)
