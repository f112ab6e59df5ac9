"""What the forms of a recurrence share: a padded batch of sequences in the exported graph, time first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from ._graph import Cell, Stage
from ._scope import Array, Noise, Scope, Value
from ._writer import Writer


@dataclass
class Sequence:
    """A value of each step: x (T, B, F), or tokens (T, B)."""

    writer: Writer
    x: str
    lengths: str | None
    """(B,) valid steps, or None where all are."""
    noise: Callable[[str], Noise | None]
    """Given a stage's path, what its random numbers are."""

    def with_x(self, x: str) -> Sequence:
        """Other values of the same steps."""
        return replace(self, x=x)

    def extents(self) -> str:
        """[T, B]"""
        return str(self.writer.op("Shape", self.x, start=0, end=2))

    def rows(self) -> str:
        """[B]"""
        return str(self.writer.op("Shape", self.x, start=1, end=2))

    @cached_property
    def time(self) -> str:
        """0 .. T - 1"""
        steps = self.writer.op("Squeeze", self.writer.op("Shape", self.x, start=0, end=1))
        return str(self.writer.op("Range", self.writer.integer(0), steps, self.writer.integer(1)))

    @cached_property
    def valid(self) -> str:
        """(T, B, 1), whether a step is within its row."""
        assert self.lengths is not None
        steps = self.writer.op("Unsqueeze", self.time, self.writer.ints(1))
        return str(self.writer.op("Unsqueeze", self.writer.op("Less", steps, self.lengths), self.writer.ints(2)))

    def flipped(self, value: str) -> str:
        """The valid steps of each row from the last to the first."""
        lengths = self.lengths
        if lengths is None:
            steps = self.writer.op("Shape", self.x, start=0, end=1)
            lengths = self.writer.op("Expand", steps, self.rows())
        return str(self.writer.op("ReverseSequence", value, lengths, time_axis=0, batch_axis=1))

    def scope(self, stage: Stage, constants: dict[int, Array]) -> Scope:
        """Where all steps are computed at once."""
        scope = Scope(self.writer, stage.cell, constants, 2, self.extents, self.noise(stage.path))
        scope.values[stage.cell.input] = Value(self.x, 2)
        return scope

    def stateless(self, stage: Stage, constants: dict[int, Array]) -> str:
        """The output of a stage without states."""
        scope = self.scope(stage, constants)
        scope.compute_to(stage.cell.output)
        return scope.whole(stage.cell.output)

    def vector(self, value: str, cell: Cell, index: int, lead: int) -> str:
        """A state in the shape in which models hold it."""
        if len(cell.nodes[index].shape) == 1:
            return value
        width = 1
        for extent in cell.nodes[index].shape:
            width *= extent
        return str(self.writer.op("Reshape", value, self.writer.ints(*[0] * lead, width)))

    def shaped(self, state: str, cell: Cell, index: int) -> str:
        """The same back: (B, width) to (B, ...)."""
        shape = cell.nodes[index].shape
        return state if len(shape) == 1 else str(self.writer.op("Reshape", state, self.writer.ints(0, *shape)))
