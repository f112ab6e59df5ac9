"""What the longer examples share: runs that go on where they were cut, data drawn as needed, an end in sight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnnrs.callbacks import Callback, Checkpoint, Run


def going_on(path: Path | None, *callbacks: Callback, epochs: int = 1) -> dict[str, Any]:
    """Arguments of fit for a run that writes `path` every so many epochs, and goes on from there if it was cut."""
    if path is None:
        return {"callbacks": callbacks}
    return {"callbacks": [*callbacks, Checkpoint(path, epochs=epochs)], "resume": path if path.exists() else None}


class Drawn(Callback):
    """Batches drawn anew each epoch, by the epoch's own generator: a run that goes on draws as an uncut one."""

    def __init__(self, draw: Callable[[np.random.Generator], tuple[Any, ...]], batches: int, seed: int) -> None:
        self._draw, self._batches, self._seed = draw, batches, seed
        self._epoch = 0

    def on_begin(self, run: Run) -> None:
        self._epoch = run.epoch

    def on_epoch(self, run: Run) -> None:
        self._epoch = run.epoch

    def __call__(self) -> Iterator[tuple[Any, ...]]:
        rng = np.random.default_rng([self._seed, self._epoch])
        for _ in range(self._batches):
            yield self._draw(rng)


class Until(Callback):
    """Ends fit after the epoch in which the task is found solved."""

    def __init__(self, solved: Callable[[Run], bool]) -> None:
        self._solved = solved

    def on_epoch(self, run: Run) -> None:
        if self._solved(run):
            run.stop()
