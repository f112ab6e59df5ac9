"""The chunker and the automatizer: two nets that divide a stream between them, until one of them knows it all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _core, _history, _numbers, _parameters, _seeds, _spec, optim, schedules
from ._core import DtypeError, FileError, InvalidValueError, ShapeError, UnsupportedError
from ._feedforward import Linear
from ._layer import Layer
from ._sequential import Sequential

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = _arrays.Array
Net = Callable[[int], Layer]

ACCOUNTS = ("time", "state", "none")


@dataclass(frozen=True)
class Work:
    """What both nets did with T steps, each as the automatizer saw it before it learnt from it."""

    probability: Array
    """(T,) the probability that the automatizer gave the symbol which came."""
    predicted: Array
    """(T,) the symbol that it held most probable."""
    targets: Array
    """(T, targets) its target units."""
    failures: Array
    """(T,) whether the prediction failed: then the chunker worked too."""
    predictions: Array | None = None
    """(T, symbols) the probabilities of all symbols; with ``detail``."""
    automatizer_states: Array | None = None
    """(T, width) the automatizer's states after each step, side by side; with ``detail``."""
    chunker_states: Array | None = None
    """(T, width) the chunker's; with ``detail``."""


class ChunkerAutomatizer:
    """Two nets of any cell: the chunker sees what the automatizer fails to predict, which imitates the chunker.

    Schmidhuber (1992, Learning complex, extended sequences using the principle of history compression, Neural
    Computation 4(2); the section on collapsing the hierarchy, and the appendix on details). At each step a symbol
    comes, and with it the teacher's targets where there are any. The automatizer reads both and predicts the next. If
    it failed to predict them, and only then, the chunker reads them, with an account of when they came, and predicts
    what it will read next: its memory has few steps to bridge. Further outputs of the automatizer imitate the chunker's
    states h and predictions o:

        error(automatizer) = -ln p(symbol) - sum ln p(target) + balance / 2 |imitation - (h, o)|^2
        error(chunker) = -ln p(symbol) - sum ln p(target) + 1/2 |predicted account - account|^2

    What the automatizer can imitate it can use: it predicts more, and the chunker works less. The paper weighs the
    parts equally (``balance=1``), and has squared errors throughout.

    Args:
        symbols: how many there are; a symbol is an integer below.
        automatizer: a function that returns a recurrent layer, or a Sequential, for the number of inputs that it is
            given, such as ``lambda n: rnnrs.LSTM(n, 20)``. A Linear is put behind it.
        chunker: likewise.
        targets: how many target units there are beside the symbols.
        account: what tells the chunker when an input came: ``"time"`` is ln(steps since the last failure) / 10,
            ``"state"`` the automatizer's states before the input, ``"none"`` nothing.
        threshold: a prediction fails where the probability of the symbol, or of a target, is below it. When None, where
            another symbol is more probable, or a target unit on the wrong side of 1/2.
        balance: weight of the imitation.
        bptt: online, errors are sent back over so many steps inside each net; its memory of what came before stays.
        every: online, the automatizer makes an update every so many steps, from the mean gradient of their errors, of
            which each goes back ``bptt`` steps or more (BPTT(h; h') of Williams and Peng 1990, An efficient
            gradient-based algorithm for on-line training of recurrent network trajectories, Neural Computation 2(4)).
            The chunker makes one at each of its steps.
        optimizer: of ``rnnrs.optim``, whose rule, rate and schedule each net takes for itself; Adam(2e-3) when None.
        chunker_optimizer: one of its own for the chunker.
        clip_norm: the largest norm of each net's gradient; None for no bound.
        dtype: "float32" or "float64".
        seed: of the parameters and of dropout; None draws from the system.

    Learning has the same bits on every instruction set and for any number of threads, for one long call or many short
    ones, and after a file was read. Dropout and zoneout draw while it learns.

    Raises:
        InvalidValueError: a number outside of its range.
        UnsupportedError: nets of two directions, with batch normalisation or ``Last``; the schedule ReduceOnPlateau.

    >>> import rnnrs
    >>> nets = rnnrs.ChunkerAutomatizer(3, lambda n: rnnrs.RNN(n, 8), lambda n: rnnrs.RNN(n, 8), seed=0)
    >>> work = nets.fit([0, 1, 2] * 300)
    >>> bool(work.failures[:9].all()), bool(work.failures[-9:].any())
    (False, False)
    """

    metadata: dict[str, str]
    """The user's own notes, kept in the file."""

    def __init__(
        self,
        symbols: int,
        automatizer: Net,
        chunker: Net,
        *,
        targets: int = 0,
        account: str = "time",
        threshold: float | None = None,
        balance: float = 1.0,
        bptt: int = 3,
        every: int = 1,
        optimizer: optim.Optimizer | None = None,
        chunker_optimizer: optim.Optimizer | None = None,
        clip_norm: float | None = 1.0,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        symbols, targets = _numbers.count(symbols, "symbols", 2), _numbers.count(targets, "targets", 0)
        if account not in ACCOUNTS:
            raise InvalidValueError(f"account: expected one of {', '.join(ACCOUNTS)}, got {account!r}")
        checked = _seeds.check(seed)
        key = secrets.randbits(64) if checked is None else checked
        seen = symbols + targets
        first = _layer(automatizer, seen, "automatizer")
        told = seen + {"time": 1, "state": _width(first), "none": 0}[account]
        second = _layer(chunker, told, "chunker")
        nets = [
            Sequential(layer, Linear(layer._model.output_size, outputs), dtype=dtype, seed=_seeds.mix(key, index))
            for index, (layer, outputs) in enumerate([(first, seen + _width(second) + told), (second, told)])
        ]
        rule = optim.Adam(2e-3) if optimizer is None else optimizer
        settings = {
            "symbols": symbols,
            "targets": targets,
            "account": account,
            "threshold": threshold,
            "balance": balance,
            "bptt": _numbers.count(bptt, "bptt"),
            "every": _numbers.count(every, "every"),
            "clip_norm": clip_norm,
            "seed": _seeds.mix(key, 2),
            "automatizer": _learning(rule),
            "chunker": _learning(rule if chunker_optimizer is None else chunker_optimizer),
        }
        self._hold(_core.ChunkerAutomatizer(nets[0]._native, nets[1]._native, _spec.dumps(settings)), nets)

    def _hold(self, native: _core.ChunkerAutomatizer, nets: Sequence[Sequential] | None = None) -> None:
        if nets is None:
            nets = [_sequential(native.automatizer), _sequential(native.chunker)]
        self._both = native
        self._nets = nets
        self._settings: dict[str, Any] = json.loads(native.settings)
        self.metadata = {}

    @property
    def automatizer(self) -> Sequential:
        """The automatizer, with the parameters as they now are: a model like any other."""
        return self._nets[0]

    @property
    def chunker(self) -> Sequential:
        """The chunker, likewise."""
        return self._nets[1]

    @property
    def settings(self) -> dict[str, Any]:
        """A copy of all settings."""
        copied: dict[str, Any] = json.loads(self._both.settings)
        return copied

    def fit(self, x: Any, targets: Any = None, *, detail: bool = False) -> Work:
        """Learns online: goes on with the stream where the last call ended, an update of the automatizer a step.

        With ``every`` above 1, an update every so many steps; what waits for one waits for the next call, and ``run``
        lets it go.

        Args:
            x: (T,) symbols.
            targets: (T, targets), or (T,) where there is one: what the target units should have shown when the symbol
                came, from 0 to 1, NaN where nothing is asked.
            detail: also give all predictions and states.

        Returns:
            What both nets did, step by step.

        Raises:
            ShapeError, DtypeError, InvalidValueError: of what does not fit.
            KeyboardInterrupt: on Ctrl-C; what was learnt until then stays.
        """
        return self._run(x, targets, True, detail)

    def run(self, x: Any, targets: Any = None, *, detail: bool = False) -> Work:
        """Goes on with the stream as ``fit`` does, and learns nothing."""
        return self._run(x, targets, False, detail)

    def _run(self, x: Any, targets: Any, learn: bool, detail: bool) -> Work:
        symbols = _arrays.integers(x, "x")
        return Work(**self._both.run(symbols, self._targets(targets, symbols.shape), learn, bool(detail)))

    def fit_sequences(
        self, sequences: Iterable[Any], targets: Iterable[Any] | None = None, *, epochs: int = 1
    ) -> list[Work]:
        """Learns offline: from whole sequences, each with states of zero at its beginning, one update of each net.

        Errors are sent back to the beginning of the sequence; the gradient is the mean over its steps, or over the
        chunker's. The stream of ``fit`` stays where it is.

        Args:
            sequences: each (T_i,) symbols.
            targets: for each sequence what ``fit`` takes.
            epochs: how often to go through them, in their order.

        Returns:
            For each sequence what both nets did with it in the last epoch.
        """
        rows = [_arrays.integers(row, "sequences") for row in sequences]
        wanted = [None] * len(rows) if targets is None else list(targets)
        if len(wanted) != len(rows):
            raise ShapeError(f"targets: expected {len(rows)}, one for each sequence, got {len(wanted)}")
        pairs = [(row, self._targets(given, row.shape)) for row, given in zip(rows, wanted, strict=True)]
        found: list[Work] = []
        for _ in range(_numbers.count(epochs, "epochs")):
            found = [Work(**self._both.learn_sequence(row, given)) for row, given in pairs]
        return found

    def reset(self) -> None:
        """Begins a new stream: states of zero, nothing has come yet. What was learnt stays."""
        self._both.reset()

    def _targets(self, targets: Any, steps: tuple[int, ...]) -> Array | None:
        if targets is None:
            return None
        given = _arrays.floats(targets, self.automatizer.dtype, "targets")
        width = self._settings["targets"]
        if given.shape != (*steps, width) and not (width == 1 and given.shape == steps):
            raise ShapeError(f"targets: expected shape {(*steps, width)}, got {given.shape}")
        return given

    @property
    def history(self) -> dict[str, Array]:
        """How much each net worked while they learnt, an entry for 1000 steps, the last one still growing.

        ``steps``: how many steps there were up to the end of the entry. ``failures``: the share of the steps at which
        the automatizer's prediction failed and the chunker worked. ``prediction``: the automatizer's -ln p of a symbol.
        ``imitation``: its squared error in imitating the chunker, halved. ``chunker``: the chunker's -ln p of a symbol
        that it read.
        """
        sums = self._both.history[1]
        steps, failures = np.maximum(sums[:, 0], 1), np.maximum(sums[:, 1], 1)
        return {
            "steps": np.cumsum(sums[:, 0]),
            "failures": sums[:, 1] / steps,
            "prediction": sums[:, 2] / steps,
            "imitation": sums[:, 3] / steps,
            "chunker": sums[:, 4] / failures,
        }

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The work of both nets over time: above how often each was needed, below how well each did.

        Returns:
            A matplotlib Figure; saved as a picture where a path is given.

        Raises:
            ImportError: matplotlib is missing; the message says how to install it.
        """
        figure, (above, below) = _history.canvas(2)
        found = self.history
        above.plot(found["steps"], 100 * (1 - found["failures"]), label="automatizer alone")
        above.plot(found["steps"], 100 * found["failures"], label="chunker too")
        above.set_ylabel("share of the steps, %")
        above.set_ylim(-3, 103)
        above.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
        below.plot(found["steps"], found["prediction"], label="automatizer: prediction")
        below.plot(found["steps"], found["chunker"], label="chunker: prediction")
        below.plot(found["steps"], found["imitation"], label="automatizer: imitation")
        below.set_ylabel("error a step of that net")
        below.set_yscale("log")
        below.set_xlabel("steps of the stream")
        below.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
        if path is not None:
            figure.savefig(path)
        return figure

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes both nets, their optimizers, the place in the stream and the history; ``rnnrs.load`` reads the file.

        What is read learns on with the same bits. The write is atomic.
        """
        self._both.save(os.fspath(path), self._notes())

    def _notes(self) -> dict[str, str]:
        return {"metadata": json.dumps(self.metadata, sort_keys=True)}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._both.to_bytes(self._notes()),)

    def __repr__(self) -> str:
        total = sum(net.num_parameters for net in self._nets)
        symbols = self._settings["symbols"]
        return f"ChunkerAutomatizer({symbols} symbols, {total:,} parameters, {self.automatizer.dtype})"


def load(path: str | os.PathLike[str], allow_nonfinite: bool) -> ChunkerAutomatizer:
    """What ``save`` wrote."""
    return _rebuild(*_core.ChunkerAutomatizer.load(os.fspath(path), allow_nonfinite))


def _restore(data: bytes) -> ChunkerAutomatizer:
    return _rebuild(*_core.ChunkerAutomatizer.from_bytes(data, True))


def _rebuild(native: _core.ChunkerAutomatizer, notes: Mapping[str, str]) -> ChunkerAutomatizer:
    made = ChunkerAutomatizer.__new__(ChunkerAutomatizer)
    made._hold(native)
    try:
        metadata = json.loads(notes["metadata"])
    except (KeyError, ValueError) as error:
        raise FileError(f"metadata: expected notes as rnnrs writes them, got {dict(notes)}") from error
    made.metadata = {str(key): str(value) for key, value in metadata.items()}
    return made


def _sequential(model: _core.Model) -> Sequential:
    made = _parameters.rebuild(Sequential, model, {})
    assert isinstance(made, Sequential)
    return made


def _layer(net: Net, inputs: int, what: str) -> Layer:
    """What a caller's function gives for a number of inputs."""
    given: Any = net
    if isinstance(given, Layer) or not callable(given):
        raise DtypeError(f"{what}: expected a function from the number of inputs to a layer, got {type(net).__name__}")
    layer: Any = given(inputs)
    if not isinstance(layer, Layer):
        raise DtypeError(f"{what}: expected a function that returns a layer of rnnrs, got {type(layer).__name__}")
    kind, width = layer._model.input
    if (kind, width) != ("float", inputs):
        raise ShapeError(f"{what}: expected a layer of {inputs} features, got one of {width} ({kind})")
    return layer


def _width(layer: Layer) -> int:
    """Elements of all states of a layer."""
    return sum(width for *_, width in layer._model.states)


def _learning(optimizer: optim.Optimizer) -> dict[str, Any]:
    """A rule, its rate and its schedule, as the engine takes them."""
    if isinstance(optimizer.schedule, schedules.ReduceOnPlateau):
        raise UnsupportedError("optimizer: expected a schedule by the number of updates, got ReduceOnPlateau")
    return {
        "optimizer": optimizer._native.spec,
        "lr": optimizer.lr,
        "schedule": optimizer.schedule._spec,
    }
