"""The fit loop: pieces of batches in, one update each, epochs, validation, callbacks, and going on after a cut."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays, _batches, _checkpoint, _core, _evaluate, _losses, _numbers, _seeds
from . import metrics as _metrics
from ._core import InvalidValueError
from ._evaluate import Tally
from ._history import History
from ._progress import Progress

if TYPE_CHECKING:
    from ._trainable import Trainable
    from .callbacks import Callback
    from .optim import Optimizer

Array = _arrays.Array


class Settings(NamedTuple):
    """The options of fit that are plain values."""

    epochs: int
    clip_norm: float | None
    clip_value: float | None
    bptt: int | None
    stateful: bool
    shuffle: bool
    progress: bool

    def check(self, model: _core.Model) -> None:
        """Refuses what does not go together."""
        _numbers.count(self.epochs, "epochs", 0)
        for name, limit in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if limit is not None and not limit > 0:
                raise InvalidValueError(f"{name}: expected a number above 0, got {limit}")
        if self.stateful and self.shuffle:
            raise InvalidValueError("shuffle: expected False with stateful, which needs the batches in order")
        if self.stateful:
            _batches.forward_only(model, "stateful")
        _batches.check_bptt(model, self.bptt)


class Run:
    """A call of fit as its callbacks see it.

    Attributes:
        model, optimizer, history: what is being trained, by what, and what was measured.
        epochs: how many there will be.
        epoch: how many are complete.
        update: how many updates were made; both count those before a ``resume``.
        loss, rate: the loss and the learning rate of the last update.
        limit: how many updates there will be at most, None where that is not known.
        figures: of the last complete epoch, by name: ``loss``, ``val_loss``, ``lr``, the metrics.
    """

    def __init__(self, model: Trainable, optimizer: Optimizer, epochs: int, seed: int) -> None:
        self.model = model
        self.optimizer = optimizer
        self.history = History()
        self.epochs = epochs
        self.epoch = 0
        self.update = 0
        self.loss = float("nan")
        self.rate = float("nan")
        self.limit: int | None = None
        self.figures: dict[str, float] = {}
        self.callbacks: Sequence[Callback] = ()
        self._seed = seed
        self._done = 0  # pieces of the present epoch
        self._tally = Tally()
        self._state: list[Array] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Ends fit after the present update."""
        self._stopped = True

    @property
    def stopped(self) -> bool:
        """Whether fit is about to end before its last epoch."""
        return self._stopped


def fit(
    owner: Trainable,
    source: tuple[Any, ...],
    *,
    loss: _losses.LossLike,
    optimizer: Optimizer | None,
    batch_size: int,
    validation_data: tuple[Any, ...] | None,
    metrics: Sequence[_metrics.MetricLike],
    callbacks: Sequence[Callback],
    seed: int | None,
    resume: str | os.PathLike[str] | None,
    settings: Settings,
) -> History:
    """See ``Trainable.fit``."""
    from . import optim

    model = owner._native
    chosen = _losses.resolve(loss)
    settings.check(model)
    _metrics.resolve(metrics)
    if metrics and validation_data is None:
        raise InvalidValueError("metrics: expected validation_data, on which they are measured, got None")
    data = _batches.data(_batches.Task(model, chosen), source, batch_size, keep=True)
    if settings.stateful:
        data.check_stateful()
    if validation_data is not None and not 2 <= len(validation_data) <= 4:
        raise InvalidValueError(
            "validation_data: expected (x, y), (x, y, lengths) or (x, y, lengths, mask), "
            f"got {len(validation_data)} items"
        )
    run = Run(owner, optim.Adam() if optimizer is None else optimizer, settings.epochs, owner._draws.seed(seed))
    # A checkpoint keeps the state of the other callbacks, so each has its turn before it.
    run.callbacks = sorted(callbacks, key=lambda callback: callback.last)
    if resume is not None:
        _checkpoint.resume(run, resume)
    began = time.perf_counter() - run.history.seconds
    per_epoch = data.updates(settings.bptt)
    run.limit = None if per_epoch is None else per_epoch * settings.epochs
    for callback in run.callbacks:
        callback.on_begin(run)
    with Progress(run.limit, "epoch", enabled=settings.progress, done=run.update) as bar:
        while run.epoch < run.epochs and not run.stopped:
            bar.label(f"epoch {run.epoch + 1}/{run.epochs}")
            if not _epoch(run, data, chosen, settings, bar):
                break
            _measure(run, chosen, batch_size, validation_data, metrics)
            run.history.seconds = time.perf_counter() - began
            for callback in run.callbacks:
                callback.on_epoch(run)
    run.history.seconds = time.perf_counter() - began
    for callback in reversed(run.callbacks):
        callback.on_end(run)
    return run.history


def _epoch(
    run: Run,
    data: _batches.Data,
    loss: _losses.Loss | _losses.LossFunction,
    settings: Settings,
    bar: Progress,
) -> bool:
    """The updates of one epoch that are still to be made; False if it was stopped before its end."""
    model = run.model._native
    order = np.random.default_rng(_seeds.mix(run._seed, 0, run.epoch)) if settings.shuffle else None
    pieces = _batches.pieces(data.epoch(order), settings.bptt)
    for piece in itertools.islice(pieces, run._done, None):
        if run.stopped:
            return False
        if piece.fresh and not settings.stateful:
            run._state = None
        weight = _update(run, model, piece, loss, settings)
        run._tally.add(run.loss, weight)
        run._done += 1
        run.update += 1
        run.history.updates.append(run.loss)
        bar.advance(run._tally.mean, piece.batch.steps)
        for callback in run.callbacks:
            callback.on_update(run)
    return True


def _update(
    run: Run,
    model: _core.Model,
    piece: _batches.Piece,
    loss: _losses.Loss | _losses.LossFunction,
    settings: Settings,
) -> float:
    """One update; returns the weight of the steps that it saw."""
    batch = piece.batch
    key = _seeds.mix(run._seed, 1, run.update)
    if isinstance(loss, _losses.Loss):
        run.loss, weight, grads, run._state = model.value_and_grad(
            batch.x, batch.y, loss.spec, batch.mask, run._state, batch.lengths, True, True, key, piece.position
        )
    else:
        tape = model.record(batch.x, run._state, batch.lengths, True, None, True, key, piece.position)
        run.loss, dy = _losses.call(loss, tape.y, batch.y, batch.mask)
        weight = piece.weight(steps=model.output_steps)
        grads = tape.backward(_arrays.floats(dy, model.dtype, "gradient of your loss"))
        run._state = tape.state
    if settings.clip_value is not None:
        grads.clip_value(settings.clip_value)
    if settings.clip_norm is not None:
        grads.clip_norm(settings.clip_norm)
    run.rate = run.optimizer.rate
    run.optimizer._native.step(model, grads, run.rate)
    return weight


def _measure(
    run: Run,
    loss: _losses.Loss | _losses.LossFunction,
    batch_size: int,
    validation_data: tuple[Any, ...] | None,
    metrics: Sequence[_metrics.MetricLike],
) -> None:
    """Ends an epoch: its figures, and a clean start for the next."""
    run.figures = {"loss": run._tally.mean, "lr": run.rate}
    if validation_data is not None:
        source = (*validation_data, *[None] * (4 - len(validation_data)))
        measured = _evaluate.evaluate(
            run.model, source, loss=loss, metrics=metrics, batch_size=batch_size, bptt=None, progress=False
        )
        run.figures |= {f"val_{name}": value for name, value in measured.items()}
    run.history._add(run.figures)
    run.optimizer.schedule.observe(run.figures.get("val_loss", run.figures["loss"]))
    run.epoch += 1
    run._done, run._tally, run._state = 0, Tally(), None
