"""History: what fit measured, epoch by epoch and update by update, and its picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class History(Mapping[str, "list[float]"]):
    """The figures of each epoch by name: ``history["loss"]``, ``history["val_loss"]``, ``history["lr"]``, ...

    Attributes:
        updates: the loss of every update, in the unit of the loss.
        seconds: how long fit took.
    """

    def __init__(self) -> None:
        self._epochs: dict[str, list[float]] = {}
        self.updates: list[float] = []
        self.seconds = 0.0

    def __getitem__(self, name: str) -> list[float]:
        return self._epochs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._epochs)

    def __len__(self) -> int:
        return len(self._epochs)

    def __repr__(self) -> str:
        epochs = max((len(values) for values in self._epochs.values()), default=0)
        return f"History({epochs} epochs, {len(self.updates)} updates: {', '.join(self._epochs) or 'nothing measured'})"

    def _add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._epochs.setdefault(name, []).append(value)

    def _restore_epochs(self, epochs: Mapping[str, list[float]]) -> None:
        self._epochs = {name: list(values) for name, values in epochs.items()}

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The curves of the losses and metrics; saved as a picture where a path is given.

        Returns:
            A matplotlib Figure.

        Raises:
            ImportError: matplotlib is missing; the message says how to install it.
        """
        figure, axes = canvas()
        losses = [name for name in self if name.endswith("loss")]
        others = [name for name in self if name not in losses and name != "lr"]
        updates, epochs = len(self.updates), len(self.get("loss", ()))
        if updates:
            scale = epochs / updates if epochs else 1.0
            axes.plot([(index + 1) * scale for index in range(updates)], self.updates, color="0.8", label="each update")
        for name in losses:
            axes.plot(range(1, len(self[name]) + 1), self[name], marker=".", label=name)
        axes.set_xlabel("epoch" if epochs else "update")
        axes.set_ylabel("loss")
        if others:
            right = axes.twinx()
            for name in others:
                right.plot(range(1, len(self[name]) + 1), self[name], linestyle="--", label=name)
            right.set_ylabel(", ".join(others))
            right.legend(loc="center right")
        axes.legend(loc="upper right")
        if path is not None:
            figure.savefig(path)
        return figure


def canvas(rows: int = 1) -> tuple[Figure, Any]:
    """An empty figure with a pair of axes, or so many above each other, without matplotlib's global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install rnnrs[plot]") from error
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    return figure, figure.subplots(rows, sharex=True)
