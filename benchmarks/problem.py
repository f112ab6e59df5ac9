"""What is computed: a network and its sizes, its seeded weights and data, the same for all that are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

GATES = {"lstm": 4, "peephole": 4, "gru": 3, "mgu": 2, "rnn": 1, "indrnn": 1}
TWO_BIASES = ("lstm", "peephole", "gru", "rnn")
"""Cells with the parameters of PyTorch's; the others have one bias."""


@dataclass(frozen=True)
class Problem:
    """A network (PyTorch's names, shapes and gate orders) and a batch for it, in float32.

    Where it is `ragged`, lengths are uniform in 1 to `steps`, and what lies beyond a length counts for nothing.
    """

    cell: str
    inputs: int
    hidden: int
    batch: int
    steps: int
    layers: int = 1
    ragged: bool = False

    @cached_property
    def weights(self) -> dict[str, Array]:
        draw = np.random.default_rng(0)
        bound = self.hidden**-0.5
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.layers):
            own = self._shapes(self.hidden if layer else self.inputs)
            shapes |= {f"{name}_l{layer}": shape for name, shape in own.items()}
        return {name: draw.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}

    def _shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        h, rows = self.hidden, GATES[self.cell] * self.hidden
        recurrent = (h,) if self.cell == "indrnn" else (rows, h)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": recurrent}
        if self.cell in TWO_BIASES:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        else:
            shapes |= {"bias": (rows,)}
        if self.cell == "peephole":
            shapes |= {"weight_p_i": (h,), "weight_p_f": (h,), "weight_p_o": (h,)}
        return shapes

    @property
    def states(self) -> int:
        """States of a layer; the first is the output."""
        return 2 if self.cell in ("lstm", "peephole") else 1

    @cached_property
    def x(self) -> Array:
        return np.random.default_rng(1).standard_normal((self.steps, self.batch, self.inputs), np.float32) * self._real

    @cached_property
    def dy(self) -> Array:
        return np.random.default_rng(2).standard_normal((self.steps, self.batch, self.hidden), np.float32) * self._real

    @cached_property
    def lengths(self) -> NDArray[np.int64] | None:
        if not self.ragged:
            return None
        lengths = np.random.default_rng(3).integers(1, self.steps, self.batch, endpoint=True)
        lengths[0] = self.steps  # PyTorch gives as many steps back as the longest has
        return lengths

    @property
    def _real(self) -> Array:
        """(steps, batch, 1): 1 where there is a step, 0 beyond a length."""
        ends = np.full(self.batch, self.steps) if self.lengths is None else self.lengths
        return (np.arange(self.steps)[:, None, None] < ends[:, None]).astype(np.float32)

    @property
    def products(self) -> float:
        """Multiply-adds of the matrix products of one forward pass."""
        steps = self.steps * self.batch if self.lengths is None else int(self.lengths.sum())
        return float(sum(w.size for w in self.weights.values() if w.ndim == 2)) * steps

    def __str__(self) -> str:
        layers = f"{self.layers}x" if self.layers > 1 else ""
        ragged = " ragged" if self.ragged else ""
        return f"{self.cell} I{self.inputs} H{layers}{self.hidden} B{self.batch} T{self.steps}{ragged}"


@dataclass(frozen=True)
class Contender:
    """Something that solves a problem: `run` is timed and `results` reads what the last run computed, untimed.

    Times are multiplied by `scale`, where both sides do different amounts of work.
    """

    run: Callable[[], None]
    results: Callable[[], dict[str, Array]]
    scale: float = 1.0
