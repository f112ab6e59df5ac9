"""What is computed: a network and its sizes, its seeded weights and data, the same for all that are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Problem:
    """A network (PyTorch's names, shapes and gate order i, f, g, o) and a batch for it, in float32."""

    inputs: int
    hidden: int
    batch: int
    steps: int
    cell: str = "lstm"
    layers: int = 1

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
        h = self.hidden
        if self.cell == "indrnn":
            return {"weight_ih": (h, inputs), "weight_hh": (h,), "bias": (h,)}
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (4 * h, inputs), "weight_hh": (4 * h, h)}
        shapes |= {"bias_ih": (4 * h,), "bias_hh": (4 * h,)}
        if self.cell == "peephole":
            shapes |= {"weight_p_i": (h,), "weight_p_f": (h,), "weight_p_o": (h,)}
        return shapes

    @cached_property
    def x(self) -> Array:
        return np.random.default_rng(1).standard_normal((self.steps, self.batch, self.inputs), np.float32)

    @cached_property
    def dy(self) -> Array:
        return np.random.default_rng(2).standard_normal((self.steps, self.batch, self.hidden), np.float32)

    def __str__(self) -> str:
        layers = f"{self.layers}x" if self.layers > 1 else ""
        return f"{self.cell} I{self.inputs} H{layers}{self.hidden} B{self.batch} T{self.steps}"


@dataclass(frozen=True)
class Contender:
    """Something that solves a problem: `run` is timed and `results` reads what the last run computed, untimed."""

    run: Callable[[], None]
    results: Callable[[], dict[str, Array]]
