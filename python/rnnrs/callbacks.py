"""Callbacks: what happens in ``fit`` after updates and epochs: stopping early, writing checkpoints, the user's own."""

from __future__ import annotations

import os
import time
from typing import Any

from . import _checkpoint, _core, _numbers
from ._core import InvalidValueError
from ._fit import Run

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "Run", "StopAfter"]


class Callback:
    """Base of all callbacks: override what is wanted. ``run.stop()`` ends fit; see ``Run`` for what there is to see."""

    last = False
    """Whether this one has its turn after the others (at the end of fit: before them)."""

    def on_begin(self, run: Run) -> None:
        """Before the first update, after a ``resume``."""

    def on_update(self, run: Run) -> None:
        """After each update."""

    def on_epoch(self, run: Run) -> None:
        """After each epoch and its validation: ``run.figures`` has the figures."""

    def on_end(self, run: Run) -> None:
        """At the end of fit, unless it was left by an error."""

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs: numbers, strings and bytes by name."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""


class _Best:
    """The best value of a monitored figure."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("min", "max"):
            raise InvalidValueError(f"mode: expected 'min' or 'max', got {mode!r}")
        self._monitor = monitor
        self._sign = 1.0 if mode == "min" else -1.0
        self._min_delta = min_delta
        self.value = float("inf")

    def improved(self, run: Run) -> bool:
        """Whether the last epoch is the best so far; NaN is no better than any."""
        if self._monitor not in run.figures:
            raise InvalidValueError(f"monitor: expected one of {', '.join(run.figures)}, got {self._monitor!r}")
        value = self._sign * run.figures[self._monitor]
        better = value < self.value - self._min_delta
        if better:
            self.value = value
        return better


class EarlyStopping(Callback):
    """Ends fit when a figure was not better for more than ``patience`` epochs (Prechelt 1998).

    Args:
        monitor: the figure, e.g. "val_loss" or "val_accuracy".
        patience: epochs without a better figure that are let pass.
        min_delta: how much better counts.
        mode: "min" or "max": what is better.
        restore_best: at the end, give the model the parameters it had when the figure was best.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        *,
        min_delta: float = 0.0,
        mode: str = "min",
        restore_best: bool = True,
    ) -> None:
        self._best = _Best(monitor, mode, min_delta)
        self._patience = _numbers.count(patience, "patience", 0)
        self._restore = restore_best
        self._waited = 0
        self._kept = b""

    def on_epoch(self, run: Run) -> None:
        """Compares, keeps the best parameters, counts the epochs without better ones."""
        if self._best.improved(run):
            self._waited = 0
            self._kept = run.model._native.to_bytes() if self._restore else b""
            return
        self._waited += 1
        if self._waited > self._patience:
            run.stop()

    def on_end(self, run: Run) -> None:
        """Gives the best parameters back."""
        if self._kept:
            best = _core.Model.from_bytes(self._kept, True)
            run.model._native.set({name: best.get(name) for name, _, _ in best.parameters()})

    def state_dict(self) -> dict[str, Any]:
        """The best figure, its parameters, and the epochs since."""
        return {"best": self._best.value, "waited": self._waited, "kept": self._kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        self._best.value, self._waited, self._kept = float(state["best"]), int(state["waited"]), bytes(state["kept"])


class StopAfter(Callback):
    """Ends fit after so many updates, or so many seconds, whichever comes first."""

    def __init__(self, *, updates: int | None = None, seconds: float | None = None) -> None:
        self._updates = _numbers.optional(updates, "updates", 0)
        self._seconds = seconds
        self._began = 0.0

    def on_begin(self, run: Run) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()
        if self._updates is not None:
            run.limit = self._updates if run.limit is None else min(run.limit, self._updates)
            if run.update >= self._updates:
                run.stop()

    def on_update(self, run: Run) -> None:
        """Counts."""
        late = self._seconds is not None and time.perf_counter() - self._began >= self._seconds
        if late or (self._updates is not None and run.update >= self._updates):
            run.stop()


class Checkpoint(Callback):
    """Writes a run to a file from which ``fit(..., resume=path)`` goes on with the bits of an uncut run.

    The file holds the model, the optimizer, the place in the data, the seeds, the carried state, the history and the
    state of the other callbacks; ``rnnrs.load`` reads the model from it. It is replaced atomically: a run that is
    killed while it writes leaves the old file.

    Args:
        path: the file.
        epochs: write after so many epochs (None: only by updates).
        updates: also write after so many updates.
        monitor: write only after epochs in which this figure is the best so far.
        mode: "min" or "max": what is better.

    Without ``monitor`` the end of fit is written too.
    """

    last = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        epochs: int | None = 1,
        updates: int | None = None,
        monitor: str | None = None,
        mode: str = "min",
    ) -> None:
        if monitor is not None and updates is not None:
            raise InvalidValueError("updates: expected None with monitor, whose figure is of epochs")
        self._path = path
        self._epochs = _numbers.optional(epochs, "epochs")
        self._updates = _numbers.optional(updates, "updates")
        self._best = None if monitor is None else _Best(monitor, mode)
        self._written = (-1, -1)

    def on_update(self, run: Run) -> None:
        """Writes when it is time."""
        if self._updates is not None and run.update % self._updates == 0:
            self._write(run)

    def on_epoch(self, run: Run) -> None:
        """Writes when it is time, or the best so far."""
        if self._best is not None:
            if self._best.improved(run):
                self._write(run)
        elif self._epochs is not None and run.epoch % self._epochs == 0:
            self._write(run)

    def on_end(self, run: Run) -> None:
        """Writes what was not written yet."""
        if self._best is None and self._written != (run.epoch, run.update):
            self._write(run)

    def _write(self, run: Run) -> None:
        self._written = (run.epoch, run.update)
        _checkpoint.write(run, self._path)

    def state_dict(self) -> dict[str, Any]:
        """The best figure."""
        return {} if self._best is None else {"best": self._best.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        if self._best is not None:
            self._best.value = float(state["best"])
