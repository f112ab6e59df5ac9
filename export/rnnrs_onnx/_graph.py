"""The model as the exporter reads it: blocks of stages, each a graph in the normal form of which all plans are made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnrs import _core, _nodes

Array = NDArray[Any]
RANDOM = ("bernoulli", "uniform", "normal")


class Cell:
    """A graph: what a step is made of, and which of its nodes depend on what."""

    def __init__(self, text: str, parameters: list[Array]) -> None:
        read = _nodes.read(text, _core.graph_shapes(text))
        self.name = read.name
        self.nodes = read.nodes
        self.needed = read.needed
        """Of these the outputs and new states are made, arguments first."""
        self.output = read.outputs[0]
        self.states = read.states
        [self.input] = [index for index, node in enumerate(self.nodes) if node.kind == "input"]
        params = [index for index, node in enumerate(self.nodes) if node.kind == "param"]
        self.parameters = dict(zip(params, parameters, strict=True))

    @cached_property
    def varies(self) -> list[bool]:
        """Whether a node depends on more than parameters and constants."""
        return self._forward(lambda kind: kind in ("input", "state", *RANDOM))

    @property
    def random(self) -> bool:
        """Whether it draws random numbers."""
        return any(self.nodes[index].kind in RANDOM for index in self.needed)

    @cached_property
    def stateful(self) -> list[bool]:
        """Whether a node depends on a state."""
        return self._forward(lambda kind: kind == "state")

    @cached_property
    def feeds(self) -> list[bool]:
        """Whether a state's next value depends on a node."""
        feeds = [False] * len(self.nodes)
        for _, _, after in self.states:
            feeds[after] = True
        for index in range(len(self.nodes) - 1, -1, -1):
            if feeds[index]:
                for arg in self.nodes[index].args:
                    feeds[arg] = True
        return feeds

    def states_of(self, index: int) -> frozenset[int]:
        """The numbers of the states on which a node depends."""
        reached = self.reach([index])
        return frozenset(number for number, (_, before, _) in enumerate(self.states) if before in reached)

    def _forward(self, begins: Any) -> list[bool]:
        marks: list[bool] = []
        for node in self.nodes:
            marks.append(begins(node.kind) or any(marks[arg] for arg in node.args))
        return marks

    def reach(self, ends: list[int]) -> set[int]:
        """All nodes that these are made of, they included."""
        found = set(ends)
        for index in range(max(ends, default=-1), -1, -1):
            if index in found:
                found.update(self.nodes[index].args)
        return found

    def integer(self, index: int) -> bool:
        """Whether a node holds indices."""
        node = self.nodes[index]
        return node.kind in ("argmax", "argsort") or (node.kind == "input" and self.tokens)

    tokens = False
    """Whether the input is a token."""


@dataclass
class Stage:
    """A graph in its place."""

    path: str
    """layer.sublayer.direction"""
    cell: Cell


@dataclass
class Block:
    """Stages that belong together: one behind the other, or two directions side by side; or the last valid step."""

    kind: str
    """``"causal"``, ``"bidirectional"`` or ``"last"``"""
    stages: list[Stage]
    skip: str = "none"
    """How the input joins the output of two directions: ``"none"``, ``"residual"``, ``"dense"``."""


def read(model: _core.Model, *, training: bool = False) -> list[Block]:
    """The blocks of a model with the parameters it has now."""
    tokens = model.input[0] == "tokens"
    blocks: list[Block] = []
    for raw in json.loads(model.definition(training))["blocks"]:
        stages: list[Stage] = []
        for stage in raw.get("stages", ()):
            parameters = [np.asarray(model.get(name)) for name in stage["params"]]
            cell = Cell(json.dumps(stage["graph"]), parameters)
            cell.tokens = tokens and not blocks and not stages
            stages.append(Stage(stage["path"], cell))
        blocks.append(Block(raw["block"], stages, raw.get("skip", "none")))
    return blocks
