"""Evaluation: losses, metrics and predictions over data of any size, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _batches, _losses
from . import metrics as _metrics
from ._progress import Progress

if TYPE_CHECKING:
    from ._parameters import Parameterised

Array = _arrays.Array


class Tally:
    """A weighted mean that grows."""

    def __init__(self, total: float = 0.0, weight: float = 0.0) -> None:
        self.total = total
        self.weight = weight

    def add(self, value: float, weight: float) -> None:
        """One more value, the mean over steps of this weight."""
        if weight:
            self.total += value * weight
            self.weight += weight

    @property
    def mean(self) -> float:
        """The mean so far; NaN where there is nothing."""
        return self.total / self.weight if self.weight else math.nan


def evaluate(
    owner: Parameterised,
    source: tuple[Any, ...],
    *,
    loss: _losses.LossLike,
    metrics: Sequence[_metrics.MetricLike],
    batch_size: int,
    bptt: int | None,
    progress: bool,
) -> dict[str, float]:
    """See ``Trainable.evaluate``."""
    model = owner._native
    chosen = _losses.resolve(loss)
    functions = _metrics.resolve(metrics)
    _batches.check_bptt(model, bptt)
    steps = model.output_steps
    data = _batches.data(_batches.Task(model, chosen), source, batch_size)
    tallies = {"loss": Tally()} | {name: Tally() for name, function in functions.items() if function}
    state: list[Array] | None = None
    with Progress(data.updates(bptt), "evaluate", enabled=progress) as bar:
        for piece in _batches.pieces(data.epoch(None), bptt):
            batch = piece.batch
            state = None if piece.fresh else state
            if isinstance(chosen, _losses.Loss):
                value, weight, y, state = model.loss(
                    batch.x, batch.y, chosen.spec, batch.mask, state, batch.lengths, batch_first=True
                )
            else:
                y, state = model.forward(batch.x, state, batch.lengths, batch_first=True)
                value, weight = _losses.call(chosen, y, batch.y, batch.mask)[0], piece.weight(steps=steps)
            tallies["loss"].add(value, weight)
            counted = _counted(chosen, batch, steps) if functions else None
            for name, function in functions.items():
                if function and counted is not None and counted.any():
                    tallies[name].add(float(function(y, batch.y, counted)), float(counted.sum()))
            bar.advance(tallies["loss"].mean, batch.steps)
    measured = {name: tally.mean for name, tally in tallies.items()}
    return {"loss": measured["loss"]} | {
        name: measured[name] if function else measured["loss"] / math.log(2) for name, function in functions.items()
    }


def _counted(loss: _losses.Loss | _losses.LossFunction, batch: _batches.Batch, steps: bool) -> Array:
    """The weights of the steps that metrics count: the loss's own, without the targets that it ignores."""
    weights = _batches.valid(batch, steps=steps)
    ignored = getattr(loss, "ignore_index", None)
    return weights if ignored is None else weights * (batch.y != ignored)


def predict(owner: Parameterised, x: Any, lengths: Any, *, batch_size: int, progress: bool) -> Any:
    """See ``Trainable.predict``."""
    model = owner._native
    data = _batches.rows(_batches.Task(model, None), (x, None, lengths, None), batch_size)
    steps = model.output_steps
    ragged = isinstance(data, _batches.RaggedData)
    dtype, width = np.dtype(model.dtype), model.output_size
    if isinstance(data, _batches.ArrayData):
        shape = (data.rows, data.steps, width) if steps else (data.rows, width)
        result: Any = np.empty(shape, dtype)
    else:
        result = [None] * data.rows
    with Progress(data.updates(None), "predict", enabled=progress) as bar:
        for batch in data.epoch(None):
            y, _ = model.forward(batch.x, None, batch.lengths, batch_first=True)
            if ragged and batch.lengths is not None and batch.rows is not None:
                for place, row in enumerate(batch.rows):
                    result[row] = y[place, : batch.lengths[place]].copy() if steps else y[place]
            else:
                result[batch.rows] = y
            bar.advance(None, batch.steps)
    return np.stack(result) if ragged and not steps else result
