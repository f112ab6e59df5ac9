"""Schedules: the factor that an optimizer's learning rate takes at each update.

All take ``warmup``: over that many updates the factor is (update + 1) / warmup (Vaswani et al. 2017); what follows
counts from its end.
"""

from __future__ import annotations

from typing import Any

from . import _core, _numbers
from ._core import InvalidValueError
from ._spec import dumps

__all__ = ["Constant", "Cosine", "ReduceOnPlateau", "Schedule", "Step"]


class Schedule:
    """A factor by the number of the update."""

    def __init__(self, name: str, warmup: int = 0, **options: Any) -> None:
        self._spec = dumps({"schedule": name, **options, **({"warmup": warmup} if warmup else {})})
        self.factor(0)  # Options that are out of range are refused here.

    def factor(self, update: int) -> float:
        """The factor of update number ``update``, the first being 0."""
        return _core.schedule(self._spec, _numbers.count(update, "update", 0))

    def observe(self, loss: float) -> None:
        """Told by ``fit`` after each epoch: the validation loss, or the training loss where there is none."""

    def state_dict(self) -> dict[str, float]:
        """What resuming needs to know."""
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on from a state."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._spec})"


class Constant(Schedule):
    """1, after the warm-up."""

    def __init__(self, warmup: int = 0) -> None:
        super().__init__("constant", warmup)


class Step(Schedule):
    """gamma^floor(n / every): a step down every so many updates after the warm-up."""

    def __init__(self, every: int, gamma: float = 0.1, warmup: int = 0) -> None:
        super().__init__("step", warmup, every=every, gamma=gamma)


class Cosine(Schedule):
    """floor + (1 - floor) (1 + cos(pi n / (total - warmup))) / 2, then floor (Loshchilov and Hutter 2017).

    n counts the updates since the warm-up, ``total`` all until the floor is reached, those of the warm-up included.
    """

    def __init__(self, total: int, floor: float = 0.0, warmup: int = 0) -> None:
        super().__init__("cosine", warmup, total=total, floor=floor)


class ReduceOnPlateau(Schedule):
    """Multiplies by ``gamma`` when the loss of ``patience`` epochs in a row was not below the best by ``min_delta``.

    Args:
        gamma: the factor of each reduction, in (0, 1).
        patience: epochs without a better loss that are let pass.
        min_delta: how much better counts.
        floor: the factor does not go below.
        warmup: updates over which the factor rises from zero.
    """

    def __init__(
        self, gamma: float = 0.1, patience: int = 10, min_delta: float = 0.0, floor: float = 0.0, warmup: int = 0
    ) -> None:
        if not 0.0 < gamma < 1.0:
            raise InvalidValueError(f"gamma: expected 0 < gamma < 1, got {gamma}")
        super().__init__("constant", warmup)
        self._gamma = gamma
        self._patience = _numbers.count(patience, "patience", 0)
        self._min_delta = min_delta
        self._floor = floor
        self._state = {"scale": 1.0, "best": float("inf"), "waited": 0.0}

    def factor(self, update: int) -> float:
        """The factor of update number ``update`` as things stand."""
        scale = self._state["scale"] if hasattr(self, "_state") else 1.0
        return super().factor(update) * scale

    def observe(self, loss: float) -> None:
        """One epoch's loss; NaN is no better than any."""
        state = self._state
        if loss < state["best"] - self._min_delta:
            state["best"], state["waited"] = loss, 0.0
            return
        state["waited"] += 1
        if state["waited"] > self._patience:
            state["scale"] = max(self._floor, state["scale"] * self._gamma)
            state["waited"] = 0.0

    def state_dict(self) -> dict[str, float]:
        """The factor, the best loss, and the epochs since."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on from a state."""
        if state.keys() != self._state.keys():
            raise InvalidValueError(f"state: expected {sorted(self._state)}, got {sorted(state)}")
        self._state = {name: float(value) for name, value in state.items()}
