"""What is computed: the sizes of an LSTM, its seeded weights and data, the same for all that are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Problem:
    """One LSTM layer (PyTorch's names, shapes and gate order i, f, g, o) and a batch for it, in float32."""

    inputs: int
    hidden: int
    batch: int
    steps: int

    @cached_property
    def weights(self) -> dict[str, Array]:
        draw = np.random.default_rng(0)
        bound = self.hidden**-0.5
        shapes = {
            "weight_ih_l0": (4 * self.hidden, self.inputs),
            "weight_hh_l0": (4 * self.hidden, self.hidden),
            "bias_ih_l0": (4 * self.hidden,),
            "bias_hh_l0": (4 * self.hidden,),
        }
        return {name: draw.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}

    @cached_property
    def x(self) -> Array:
        return np.random.default_rng(1).standard_normal((self.steps, self.batch, self.inputs), np.float32)

    @cached_property
    def dy(self) -> Array:
        return np.random.default_rng(2).standard_normal((self.steps, self.batch, self.hidden), np.float32)

    def __str__(self) -> str:
        return f"I{self.inputs} H{self.hidden} B{self.batch} T{self.steps}"


@dataclass(frozen=True)
class Contender:
    """Something that solves a problem: `run` is timed and `results` reads what the last run computed, untimed."""

    run: Callable[[], None]
    results: Callable[[], dict[str, Array]]
