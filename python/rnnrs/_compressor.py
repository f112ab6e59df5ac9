"""The neural history compressor: a stack of nets in which only the unpredicted goes up (Schmidhuber 1991, 1992)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _arrays, _container, _core, _files, _numbers, _seeds, cells, optim
from ._core import DtypeError, InvalidValueError, UnsupportedError
from ._definition import Definition
from ._feedforward import Linear
from ._progress import Progress
from ._recurrent import Recurrent
from ._sequential import Sequential

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = _arrays.Array
MAGIC = b"rnnrs history 1\n"
CellOf = Callable[[int], Definition]


@dataclass(frozen=True)
class Events:
    """What of a sequence reached the top of a stack of L levels: with the nets, all of the sequence.

    Attributes:
        gaps: (n, L) int64. The last column is the number of inputs since the event before, the one left of it the
            number of events of level 1 since the last of them that went up, and so on to the first column, which counts
            the events of the top level. A 0 says that ``max_gap`` passed without a failure; what stands right of it
            is -1.
        contents: (n,) int64 symbols, or (n, features) vectors; 0 behind a gap of 0.
        counts: how many events each level saw, the lowest first.
    """

    gaps: NDArray[np.int64]
    contents: Array
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.gaps)


class Part(NamedTuple):
    """What it takes to tell what comes to one level, in bits."""

    level: int
    events: float
    """How many events each level up to this one sees (Elias gamma codes)."""
    times: float
    """When they come."""
    symbols: float
    """Which symbols, or vectors, they have."""

    @property
    def total(self) -> float:
        """All three."""
        return self.events + self.times + self.symbols


@dataclass(frozen=True)
class Description:
    """The length of a description of sequences, by level: what it would take if that level were the top."""

    levels: tuple[Part, ...]

    @property
    def total(self) -> float:
        """Bits, with the top level's net."""
        return self.levels[-1].total

    def __str__(self) -> str:
        rows = [
            f"level {p.level}: {p.total:,.1f} bits (events {p.events:,.1f}, times {p.times:,.1f}, "
            f"symbols {p.symbols:,.1f})"
            for p in self.levels
        ]
        return "\n".join(rows)


class Work(NamedTuple):
    """What the levels did: an element for each event that came to a level, in the order of time."""

    times: NDArray[np.int64]
    """The step of the sequence."""
    levels: NDArray[np.int64]
    """The level."""
    predicted: NDArray[np.bool_]
    """Whether it was predicted there; if not, it went up."""
    surprise: NDArray[np.float64]
    """-log2 of the probability that it had, in bits."""


class HistoryCompressor:
    """A stack of nets, each of which predicts what comes to it and hands up what it fails to predict.

    Level 0 reads the sequence and predicts each input from those before. What it fails to predict goes up, with the
    number of inputs since the last failure, so that nothing is lost: from what reaches the top, and the nets, the
    sequence is made again exactly. Each level works on a slower time scale than the one below (Schmidhuber 1992,
    Learning complex, extended sequences using the principle of history compression, Neural Computation 4(2)).

    Args:
        symbols: how many symbols there are; sequences are then (T,) integers.
        features: width of vectors; sequences are then (T, features) numbers.
        tolerance: vectors: how far off an element of a prediction may be; every net reads predictions where they hold,
            so the sequence comes back within it.
        hidden_size: units of each level's LSTM.
        cell: another cell for each level, given the width of its input: ``lambda width: rnnrs.cells.GRU(width, 32)``.
        max_levels: how many levels `fit` may add.
        max_gap: the longest time that is told at once; after so many inputs without a failure a level says that time
            passed.
        threshold: an input is predicted if it is the most probable, and with this has at least this probability.
        dtype: "float32" or "float64".
        seed: of the parameters and of the order in `fit`; None draws from the system.

    Raises:
        InvalidValueError: symbols and features, or neither; sizes below one.

    >>> import numpy as np
    >>> history = HistoryCompressor(symbols=3, hidden_size=8, seed=0)
    >>> text = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 1])
    >>> events = history.transform(text)
    >>> np.array_equal(history.inverse_transform(events), text)
    True
    """

    def __init__(
        self,
        symbols: int | None = None,
        features: int | None = None,
        *,
        tolerance: float = 0.1,
        hidden_size: int = 32,
        cell: CellOf | None = None,
        max_levels: int = 4,
        max_gap: int = 32,
        threshold: float | None = None,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        if (symbols is None) == (features is None):
            raise InvalidValueError("symbols, features: expected one of them, got both or neither")
        self._settings: dict[str, Any] = {
            "symbols": _numbers.optional(symbols, "symbols"),
            "features": _numbers.optional(features, "features"),
            "tolerance": float(tolerance),
            "max_gap": _numbers.count(max_gap, "max_gap"),
            "threshold": None if threshold is None else float(threshold),
        }
        self.max_levels = _numbers.count(max_levels, "max_levels")
        units = _numbers.count(hidden_size, "hidden_size")
        self._cell: CellOf = cell if cell is not None else lambda width: cells.LSTM(width, units)
        self._seed = _seeds.check(seed)
        self._random = np.random.default_rng(self._seed)
        self._dtype = dtype
        self._hold([self._net(0)])

    def _net(self, level: int) -> Sequential:
        """A net for a level."""
        width = self._width(level)
        layer = Recurrent(self._cell(width))
        return Sequential(
            layer, Linear(layer._model.output_size, width), dtype=self._dtype, seed=int(self._random.integers(2**31))
        )

    def _width(self, level: int) -> int:
        content: int = self._settings["symbols"] or self._settings["features"]
        gaps: int = self._settings["max_gap"] + 1
        return level * gaps + content

    def _hold(self, levels: list[Sequential]) -> None:
        self._levels = levels
        self._native = _core.History([level._native for level in levels], *self._settings.values())

    @property
    def levels(self) -> tuple[Sequential, ...]:
        """The nets, the lowest first. Level l reads and says ``max_gap + 1`` units for each of l gaps, then content."""
        return tuple(self._levels)

    @property
    def dtype(self) -> str:
        """``"float32"`` or ``"float64"``."""
        return self._levels[0].dtype

    def __repr__(self) -> str:
        what = "symbols" if self._settings["symbols"] else "features"
        return f"HistoryCompressor({what}={self._settings[what]}, {len(self._levels)} levels)"

    # There and back

    def transform(self, sequence: Any) -> Events:
        """What of a sequence reaches the top."""
        gaps, contents, counts = self._native.transform(self._input(sequence))
        return Events(gaps, contents, tuple(counts))

    def inverse_transform(self, events: Events) -> Array:
        """The sequence again: equal for symbols, within the tolerance for vectors.

        Raises:
            InvalidValueError: they are not events of a stack with as many levels.
        """
        if not isinstance(events, Events):
            raise DtypeError(f"events: expected what transform returns, got {type(events).__name__}")
        gaps = np.ascontiguousarray(events.gaps, np.int64)
        contents = np.ascontiguousarray(events.contents, np.int64 if self._settings["symbols"] else self.dtype)
        made: Array = self._native.inverse(gaps, contents, list(events.counts))
        return made

    def work(self, sequence: Any) -> Work:
        """What each level saw of a sequence, whether it had predicted it, and how surprising it was."""
        return _work(self._native.trace(self._input(sequence)))

    def description_length(self, *sequences: Any) -> Description:
        """Bits to describe sequences, given the nets, by level.

        With level l as the top: the events that come to it, told with the probabilities that its net gives them, their
        times and their symbols, and how many events each level sees. Vectors cost as many bits as they have in memory,
        and each gap log2(max_gap + 1).

        A range coder with these probabilities comes within one per cent.
        """
        events = self._native.events([self._input(sequence) for sequence in sequences])
        return Description(tuple(self._parts(events)))

    def _parts(self, events: _core.Events) -> Iterator[Part]:
        counts = 0.0
        for level in range(len(self._levels)):
            counts += sum(2 * (n + 1).bit_length() - 1 for n in events.lengths())
            if self._settings["symbols"]:
                bits = self._native.bits(level, events)
                yield Part(level, counts, sum(b[0] for b in bits), sum(b[1] for b in bits))
                if level + 1 < len(self._levels):
                    events = self._native.hand_up(level, events)
            else:
                # What a net says of vectors has no probabilities: its failures are told as they are.
                events = self._native.hand_up(level, events)
                n = sum(events.lengths())
                width = 8 * np.dtype(self.dtype).itemsize * self._settings["features"]
                yield Part(level, counts, n * (level + 1) * float(np.log2(self._settings["max_gap"] + 1)), n * width)

    # Learning

    def fit(
        self,
        sequences: Iterable[Any],
        *,
        epochs: int = 50,
        batch_size: int = 16,
        bptt: int = 64,
        optimizer: Callable[[], optim.Optimizer] = lambda: optim.Adam(1e-2),
        clip_norm: float | None = 1.0,
        on_epoch: Callable[[int], None] | None = None,
        progress: bool = True,
    ) -> Description:
        """Trains the levels in turn, from the lowest up, and adds levels while that shortens the description.

        Each level learns from what the trained levels below hand up; a level that does not shorten the description of
        the sequences is taken away again.

        Args:
            sequences: of (T,) symbols or (T, features) numbers, of any lengths.
            epochs: passes over them, for each level.
            batch_size: sequences side by side.
            bptt: events over which gradients flow back, and after which an update is made.
            optimizer: makes the optimizer of each level.
            clip_norm: the greatest norm of a gradient.
            on_epoch: called after each pass with the level that learns, which is then the top.
            progress: show it.

        Returns:
            The description length of the sequences, by level.
        """
        given = [self._input(sequence) for sequence in sequences]
        if not given:
            raise InvalidValueError("sequences: expected at least one, got none")
        epochs, rows = _numbers.count(epochs, "epochs"), _numbers.count(batch_size, "batch_size")
        bptt = _numbers.count(bptt, "bptt")
        events = self._native.events(given)
        length = float("inf")
        for level in range(self.max_levels):
            if level == len(self._levels):
                self._hold([*self._levels, self._net(level)])
            with Progress(epochs, f"level {level}", enabled=progress) as bar:
                rule = optimizer()
                for _ in range(epochs):
                    nats = self._pass(level, events, rule, rows, bptt, clip_norm)
                    bar.advance(nats, sum(events.lengths()))
                    if on_epoch is not None:
                        on_epoch(level)
            parts = list(self._parts(self._native.events(given)))
            if level and parts[level].total >= length:
                self._hold(self._levels[:level])
                break
            length = parts[level].total
            events = self._native.hand_up(level, events)
            if not any(events.lengths()):
                self._hold(self._levels[: level + 1])
                break
        return self.description_length(*given)

    def _pass(
        self,
        level: int,
        events: _core.Events,
        optimizer: optim.Optimizer,
        rows: int,
        bptt: int,
        clip_norm: float | None,
    ) -> float:
        """One pass of a level over its events, in a random order; nats an event."""
        order = self._random.permutation(np.flatnonzero(events.lengths()))
        orders = [order[k : k + rows].tolist() for k in range(0, len(order), rows)]
        return self._native.train(level, events, orders, optimizer._native, optimizer.rate, bptt, clip_norm)

    def stream(
        self, optimizer: optim.Optimizer | None = None, *, bptt: int = 16, clip_norm: float | None = 1.0
    ) -> HistoryStream:
        """The stack as a machine that takes a step a call; levels to which nothing comes do no work.

        Args:
            optimizer: with one, each level learns online from what comes to it, an update every ``bptt`` of its events,
                by backpropagation truncated there. Its rule and its rate as they now are; each level has its own state.
            bptt: see there.
            clip_norm: the greatest norm of a gradient.
        """
        if optimizer is None:
            return HistoryStream(self, self._native.stream())
        steps = _numbers.count(bptt, "bptt")
        return HistoryStream(self, self._native.stream(optimizer._native.spec, optimizer.rate, steps, clip_norm))

    # Looking

    def plot(self, sequence: Any, path: str | os.PathLike[str] | None = None) -> Figure:
        """Which inputs reached which level, as a raster over time, and how surprising they were to the lowest.

        Returns:
            A matplotlib Figure; saved as a picture where a path is given.
        """
        from ._history import canvas

        work = self.work(sequence)
        figure, above = canvas()
        figure.clear()
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        top = len(self._levels)
        for level in range(top):
            here = work.levels == level
            times = work.times[here]
            above.scatter(times, np.full(len(times), level), s=60, marker="|", color="0.6")
        for level in range(top):
            failed = (work.levels == level) & ~work.predicted
            times = work.times[failed]
            above.scatter(times, np.full(len(times), level + 1), s=60, marker="|", color="tab:red")
        names = [f"level {level}" for level in range(top)] + ["beyond the top"]
        above.set_yticks(range(top + 1), names)
        above.set_ylim(-0.5, top + 0.5)
        above.set_title("what came to each level; red: what the level below did not predict")
        lowest = work.levels == 0
        below.plot(work.times[lowest], work.surprise[lowest], color="tab:blue", linewidth=0.8)
        below.set_ylabel("surprise, bits")
        below.set_xlabel("step")
        if path is not None:
            figure.savefig(path)
        return figure

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes settings and nets to one file, which `rnnrs.load` reads; atomically."""
        _container.write(path, MAGIC, *self._contents())

    def _contents(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        header = {"settings": self._settings, "max_levels": self.max_levels, "seed": self._seed}
        return header, {f"level {k}": level._native.to_bytes() for k, level in enumerate(self._levels)}

    @classmethod
    def _from(cls, header: dict[str, Any], parts: dict[str, bytes], *, allow_nonfinite: bool) -> HistoryCompressor:
        made = cls.__new__(cls)
        made._settings = header["settings"]
        made.max_levels = header["max_levels"]
        made._seed = _seeds.check(header["seed"])
        made._random = np.random.default_rng(made._seed)
        made._hold([_files.model(parts[f"level {k}"], allow_nonfinite) for k in range(len(parts))])
        made._dtype = made.dtype
        made._cell = made._same_cell
        return made

    def _same_cell(self, width: int) -> Definition:
        """A cell for a further level of a stack that was loaded: that of the lowest, for another width."""
        layer = json.loads(self._levels[0]._native.spec)["layers"][0]
        if layer["cell"] == "own":
            raise UnsupportedError("fit: expected no further level of a stack with a user's own cell that was loaded")
        from . import _cell

        return _cell.of_layer({**layer, "options": {**layer["options"], "input_size": width}})

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (_container.to_bytes(*self._contents()),)

    def to_onnx(self, folder: str | os.PathLike[str], **options: Any) -> None:
        """Writes each level's step as ``level0.onnx``, ... and the rule by which events go up as ``history.json``.

        Args:
            folder: made if it is not there.
            options: as of `Sequential.to_onnx`, but the mode, which is "step".
        """
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        for k, level in enumerate(self._levels):
            level.to_onnx(place / f"level{k}.onnx", mode="step", **options)
        rule = {
            **self._settings,
            "levels": len(self._levels),
            "rule": (
                "Level l reads max_gap + 1 units for each of l gaps, then the content, and says the same of the next "
                "event; before the first it has read zeros. An event that is not the most probable in each of its "
                "parts (or has less than threshold, or is off by more than tolerance) goes up behind the number of "
                "events since the last that did; after max_gap events without one a gap of 0 goes up."
            ),
        }
        (place / "history.json").write_text(json.dumps(rule, indent=1), encoding="utf-8")

    def _input(self, sequence: Any) -> Array:
        array = np.asarray(sequence)
        if self._settings["symbols"]:
            if array.dtype.kind not in "iu" and array.size:
                raise DtypeError(f"sequence: expected integers, got {array.dtype}")
            return np.ascontiguousarray(array.astype(np.int64, copy=False))
        if array.dtype.kind not in "iuf":
            raise DtypeError(f"sequence: expected numbers, got {array.dtype}")
        return np.ascontiguousarray(array.astype(self.dtype, copy=False))


class HistoryStream:
    """A stack that goes through a sequence step by step; see ``HistoryCompressor.stream``."""

    def __init__(self, owner: HistoryCompressor, native: _core.HistoryStream) -> None:
        self._owner = owner
        self._native = native

    def step(self, x: Any) -> int:
        """One input: a symbol, or a (features,) vector. Returns how many levels had work: 1 where it was predicted."""
        return len(self.push(np.asarray(x)[None]).levels)

    def push(self, sequence: Any) -> Work:
        """Several inputs, a step each; times count from the first of them."""
        return _work(self._native.push(self._owner._input(sequence)))


def _work(arrays: Sequence[Array]) -> Work:
    times, levels, predicted, nats = arrays
    return Work(times, levels, predicted, nats / np.log(2))


def _restore(data: bytes) -> HistoryCompressor:
    return HistoryCompressor._from(*_container.from_bytes(data, "a history compressor"), allow_nonfinite=True)


def load(path: str | os.PathLike[str], *, allow_nonfinite: bool = False) -> HistoryCompressor:
    """A history compressor from its file."""
    return HistoryCompressor._from(
        *_container.read(path, MAGIC, "a history compressor"), allow_nonfinite=allow_nonfinite
    )
