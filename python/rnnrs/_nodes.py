"""A cell's graph read from its JSON, as equations and drawings want it: nodes, who uses them, which are needed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]


@dataclass
class Node:
    """One value of a graph."""

    kind: str
    """``"param"``, ``"input"``, ``"state"``, ``"constant"``, ``"tensor"``, or the name of a primitive."""
    shape: Shape
    name: str = ""
    args: list[int] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    """Of a constant its number, of a tensor its elements."""
    users: list[int] = field(default_factory=list)
    """The needed nodes that are made of it."""


@dataclass
class Nodes:
    """A graph."""

    name: str
    nodes: list[Node]
    needed: list[int]
    """The nodes of which the outputs and new states are made, arguments first."""
    states: list[tuple[str, int, int]]
    """(name, node before the step, node after the step)."""
    outputs: list[int]


def read(text: str, shapes: list[Shape]) -> Nodes:
    """A graph in the form of files, with the shape of each node."""
    graph = json.loads(text)
    nodes = [_node(raw, shape) for raw, shape in zip(graph["nodes"], shapes, strict=True)]
    states = [(nodes[state["node"]].name, state["node"], state["next"]) for state in graph["states"]]
    ends = [*graph["outputs"], *(after for _, _, after in states)]
    needed = set(ends)
    for index in range(len(nodes) - 1, -1, -1):
        if index in needed:
            needed.update(nodes[index].args)
    for index in sorted(needed):
        for arg in nodes[index].args:
            nodes[arg].users.append(index)
    return Nodes(graph["name"], nodes, sorted(needed), states, graph["outputs"])


def _node(raw: dict[str, Any], shape: Shape) -> Node:
    kind = raw["node"]
    if kind == "apply":
        return Node(raw["primitive"], shape, args=raw["args"], attributes=raw["attributes"])
    return Node(kind, shape, name=raw.get("name", ""), value=raw.get("value", raw.get("values")))
