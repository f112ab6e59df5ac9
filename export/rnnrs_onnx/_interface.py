"""What goes into an exported model and comes out of it: names, shapes and axes, as in calls of the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rnnrs
from rnnrs import UnsupportedError, _core
from rnnrs._step_cells import StepCell


@dataclass(frozen=True)
class Layout:
    """How a model's callers lay out x and the states."""

    batch_first: bool
    """x is (B, T, ...), else (T, B, ...)."""
    chain: bool
    """States' names begin with their layer's number: "1.h"."""
    stacked: bool
    """States are (num_layers * num_directions, B, width), else (B, width)."""

    @classmethod
    def of(cls, model: Any) -> Layout:
        """The layout of a model of rnnrs."""
        if isinstance(model, rnnrs.Sequential):
            return cls(batch_first=True, chain=True, stacked=True)
        if isinstance(model, StepCell):
            return cls(batch_first=False, chain=False, stacked=False)
        return cls(batch_first=getattr(model, "batch_first", True), chain=False, stacked=True)

    def axes(self, names: list[str]) -> list[str]:
        """Time and batch in the order of x."""
        return names[::-1] if self.batch_first else names


class Interface:
    """Inputs and outputs of an exported model."""

    def __init__(self, model: _core.Model, layout: Layout) -> None:
        kind, size = model.input
        self.tokens = kind == "tokens"
        self.features = size
        """Width of x; with tokens how many there are."""
        self.output = model.output_size
        self._steps = model.output_steps
        groups: dict[tuple[int, str], list[int]] = {}
        widths: dict[tuple[int, str], int] = {}
        for index, (layer, _, _, name, width) in enumerate(model.states):
            groups.setdefault((layer, name), []).append(index)
            widths[layer, name] = width
        self.states: list[tuple[str, list[int | str], list[int]]] = [
            (
                f"{layer}.{name}" if layout.chain else name,
                [*([len(members)] if layout.stacked else []), "batch", widths[layer, name]],
                members,
            )
            for (layer, name), members in groups.items()
        ]
        """(name, shape, which of the engine's states it holds)"""

    def generates(self) -> None:
        """Raises where the output cannot be the next input."""
        if not self._steps or self.output != self.features:
            where = "at every step" if self._steps else "at the last step only"
            raise UnsupportedError(
                f"mode: expected 'sequence' or 'step' for a model whose output cannot be its next input ({self.output} "
                f"outputs {where}, {self.features} inputs), got 'loop'"
            )
