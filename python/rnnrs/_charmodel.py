"""A model of the characters of a text: Embedding, recurrent layers, Linear; trained to a time, measured in bits."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import _arrays, callbacks, cells, optim, schedules
from ._core import InvalidValueError
from ._feedforward import Dropout, Embedding, Linear
from ._history import History
from ._recurrent import Recurrent
from ._sequential import Sequential
from ._text import Vocabulary

Array = _arrays.Array

CELLS: dict[str, Callable[[int, int], cells.CellSpec]] = {
    "rnn": cells.Elman,
    "lstm": functools.partial(cells.LSTM, forget_bias=1.0),
    "gru": cells.GRU,
}
_PASSES = 40  # With more passes over a small text a model learns it by heart.
_UNSEEN_BITS = math.log2(0x110000)  # What it takes to name a character that the training part does not have.


@dataclass(frozen=True)
class Settings:
    """What is trained, and for how long."""

    cell: str = "lstm"
    hidden: int = 256
    layers: int = 1
    embedding: int = 64
    dropout: float = 0.1
    rows: int = 32
    bptt: int = 64
    lr: float = 6e-3
    clip_norm: float = 1.0
    seconds: float = 75.0
    updates: int | None = None
    held_out: float = 0.1
    seed: int | None = None


@dataclass(frozen=True)
class Parts:
    """A text in its training part and its end, which is held out."""

    vocabulary: Vocabulary
    training: Array
    held_out: str

    @classmethod
    def of(cls, text: str, share: float, least: int) -> Parts:
        """Cuts a text; ``least`` is how many characters training needs."""
        if not 0 <= share < 1:
            raise InvalidValueError(f"held_out: expected a share from 0 to below 1, got {share}")
        cut = len(text) - round(len(text) * share)
        if cut < least:
            raise InvalidValueError(
                f"text: expected at least {least} characters to train on, got {cut}; take fewer --rows"
            )
        vocabulary = Vocabulary.of(text[:cut])
        return cls(vocabulary, vocabulary.encode(text[:cut]), text[cut:])


@dataclass(frozen=True)
class Trained:
    """A trained model and how its training went."""

    model: Sequential
    history: History
    updates: int
    characters: int
    seconds: float
    interrupted: bool


class _Watch(callbacks.Callback):
    """Holds on to the run, so that what was learned up to Ctrl-C is kept."""

    run: callbacks.Run

    def on_begin(self, run: callbacks.Run) -> None:
        self.run = run


def build(settings: Settings, size: int) -> Sequential:
    """An untrained model for a vocabulary of ``size``."""
    layers: list[Embedding | Recurrent | Dropout | Linear] = [Embedding(size, settings.embedding)]
    cell = CELLS[settings.cell](settings.embedding, settings.hidden)
    layers.append(Recurrent(cell, settings.layers, dropout=settings.dropout))
    if settings.dropout:
        layers.append(Dropout(settings.dropout))
    layers.append(Linear(settings.hidden, size))
    return Sequential(*layers, seed=settings.seed)


def train(parts: Parts, settings: Settings, *, progress: bool, say: Callable[[str], None]) -> Trained:
    """Trains by truncated BPTT on many places of the text at once, the learning rate falling to the end of the time."""
    model = build(settings, len(parts.vocabulary))
    parts.vocabulary.keep(model)
    length = (len(parts.training) - 1) // settings.rows
    x = parts.training[: settings.rows * length].reshape(settings.rows, length)
    y = parts.training[1 : settings.rows * length + 1].reshape(settings.rows, length)
    per_epoch = -(-length // settings.bptt)
    began = time.perf_counter()
    updates = settings.updates or min(_PASSES * per_epoch, _updates_in(model, x, y, settings))
    left = None if settings.updates else max(0.0, settings.seconds - (time.perf_counter() - began))
    say(f"{updates} updates of {settings.rows} x {settings.bptt} characters, {per_epoch} a pass over the text")
    schedule = schedules.Cosine(updates, floor=0.01, warmup=min(100, updates // 10))
    watch, interrupted = _Watch(), False
    began = time.perf_counter()
    try:
        model.fit(
            x,
            y,
            optimizer=optim.Adam(settings.lr, schedule=schedule),
            epochs=-(-updates // per_epoch),
            batch_size=settings.rows,
            bptt=settings.bptt,
            shuffle=False,
            clip_norm=settings.clip_norm,
            callbacks=[watch, callbacks.StopAfter(updates=updates, seconds=left)],
            progress=progress,
        )
    except KeyboardInterrupt:
        if not hasattr(watch, "run"):
            raise
        interrupted = True
        say("interrupted: what was learned so far is kept")
    run = watch.run
    passes, rest = divmod(run.update, per_epoch)
    characters = settings.rows * (passes * length + rest * settings.bptt)
    return Trained(model, run.history, run.update, characters, time.perf_counter() - began, interrupted)


def _updates_in(model: Sequential, x: Array, y: Array, settings: Settings) -> int:
    """How many updates fit into the time, by trying gradients for a fiftieth of it."""
    part = slice(0, settings.bptt)
    until = time.perf_counter() + settings.seconds / 50
    fastest = math.inf
    while True:
        began = time.perf_counter()
        model.value_and_grad(x[:, part], y[:, part], seed=0)[1].clip_norm(settings.clip_norm)
        now = time.perf_counter()
        fastest = min(fastest, now - began)
        if now >= until:
            # The optimizer's own work, and a machine that has other things to do, take a part of the time too.
            return max(1, int(0.88 * settings.seconds / fastest))


def bits_per_character(model: Sequential, vocabulary: Vocabulary, text: str) -> float:
    """What the model needs for a text from a zero state: all bits, the first character's included, over its length."""
    if not text:
        return math.nan
    tokens = vocabulary.encode(text)
    bits = math.log2(len(vocabulary)) + _UNSEEN_BITS * int((tokens == 0).sum())
    if len(text) > 1:
        # Its loss is a mean over the steps, in nats.
        measured = model.evaluate(tokens[None, :-1], tokens[None, 1:], metrics=("bits",), bptt=8192)
        bits += measured["bits"] * (len(text) - 1)
    return bits / len(text)


def sample(
    model: Sequential, vocabulary: Vocabulary, start: str, length: int, temperature: float, seed: int | None
) -> str:
    """``start`` and what the model writes after it."""
    made = model.generate(vocabulary.encode(start), length, temperature, seed=seed)
    return start + vocabulary.decode(np.asarray(made).tolist())
