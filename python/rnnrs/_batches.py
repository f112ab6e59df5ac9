"""Data in batches: arrays, ragged lists and iterables, cut into rows for an update and pieces for truncated BPTT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _arrays, _core, _frame, _losses, _numbers
from ._core import DtypeError, InvalidValueError, ShapeError, UnsupportedError

Array = _arrays.Array

_POOL = 64  # Batches' worth of ragged rows that are sorted by length together: long enough to fit, short enough to mix.


class Batch(NamedTuple):
    """Rows of one update, (N, T, ...), ready for the engine. ``rows`` are their numbers in the data."""

    x: Array
    y: Any
    lengths: NDArray[np.int64] | None
    mask: Array | None
    rows: NDArray[np.int64] | None = None

    @property
    def steps(self) -> int:
        """How many steps there are to compute."""
        return self.x.shape[0] * self.x.shape[1] if self.lengths is None else int(self.lengths.sum())


class Piece(NamedTuple):
    """Some steps of a batch. ``fresh``: the batch begins here; ``position``: its first step's number in the batch."""

    batch: Batch
    position: int
    fresh: bool

    def weight(self, *, steps: bool) -> float:
        """The weights of the valid steps (or rows) together."""
        return float(valid(self.batch, steps=steps).sum())


class Task(NamedTuple):
    """What the data must fit: the model and the loss (None where there are no targets)."""

    model: _core.Model
    loss: _losses.Loss | _losses.LossFunction | None

    def batch(self, x: Any, y: Any, lengths: Any, mask: Any, rows: NDArray[np.int64] | None = None) -> Batch:
        """Arrays of one batch, converted and checked."""
        array, features = _frame.load(self.model, x)
        frame = _frame.chain(array, features)
        lead = frame.outer if self.model.output_steps else frame.outer[:1]
        if self.loss is None:
            targets = None
        elif isinstance(self.loss, _losses.Loss):
            targets = self.loss.targets(y, self.model.dtype, lead, self.model.output_size)
        else:
            targets = _arrays.array(y, "y")
        weights = _losses.weights(mask, self.model.dtype, lead)
        return Batch(array, targets, _arrays.lengths(lengths, frame.batch), weights, rows)


class ArrayData:
    """Rows of arrays."""

    def __init__(self, task: Task, x: Any, y: Any, lengths: Any, mask: Any, batch_size: int) -> None:
        self._task = task
        self._x = _arrays.array(x, "x")
        if self._x.ndim < 2:
            raise ShapeError(f"x: expected (N, T, F), or (N, T) tokens, got shape {self._x.shape}")
        self._rest = [
            None if value is None else _arrays.array(value, name)
            for name, value in (("y", y), ("lengths", lengths), ("mask", mask))
        ]
        self.rows, self.steps = int(self._x.shape[0]), int(self._x.shape[1])
        if not self.rows and task.loss is not None:
            raise ShapeError(f"x: expected at least one row, got shape {self._x.shape}")
        for name, value in zip(("y", "lengths", "mask"), self._rest, strict=True):
            if value is not None and value.shape[:1] != (self.rows,):
                raise ShapeError(f"{name}: expected {self.rows} rows, as x has, got shape {value.shape}")
        self._size = batch_size

    def epoch(self, order: np.random.Generator | None) -> Iterator[Batch]:
        """Batches in a drawn order, or in the order of the rows."""
        rows = np.arange(self.rows) if order is None else order.permutation(self.rows)
        for start in range(0, self.rows, self._size):
            chosen = rows[start : start + self._size]
            # Rows in order are a view of the data, which may be a file mapped into memory.
            take: Any = slice(start, start + self._size) if order is None else chosen
            y, lengths, mask = (None if value is None else value[take] for value in self._rest)
            yield self._task.batch(self._x[take], y, lengths, mask, chosen)

    def updates(self, bptt: int | None) -> int | None:
        """How many updates an epoch has, where that is known."""
        pieces = 1 if bptt is None else max(1, -(-self.steps // bptt))
        return -(-self.rows // self._size) * pieces

    def check_stateful(self) -> None:
        """Every batch must have the same rows to go on from."""
        if self.rows % self._size:
            raise InvalidValueError(
                f"batch_size: expected a divisor of the {self.rows} rows, since stateful carries each on, "
                f"got {self._size}"
            )


class RaggedData:
    """Sequences of different lengths, padded batch by batch with others of like length."""

    def __init__(self, task: Task, x: Any, y: Any, lengths: Any, mask: Any, batch_size: int, *, keep: bool) -> None:
        if lengths is not None:
            raise InvalidValueError("lengths: expected None, since a list's sequences say their own lengths")
        self._task = task
        self._size = batch_size
        self._keep = keep
        self._x = [_arrays.array(row, f"x[{index}]") for index, row in enumerate(x)]
        if any(row.ndim == 0 or row.shape[1:] != self._x[0].shape[1:] for row in self._x):
            shapes = sorted({row.shape[1:] for row in self._x})
            raise ShapeError(f"x: expected sequences (T_i, F) or (T_i,) with the same features, got {shapes}")
        self.lengths = np.array([len(row) for row in self._x], np.int64)
        self.rows = len(self._x)
        self._y = self._per_row(y, "y")
        self._mask = self._per_row(mask, "mask")

    def _per_row(self, value: Any, name: str) -> Any:
        if value is None:
            return None
        if not self._task.model.output_steps:
            array = _arrays.array(value, name)
            if array.shape[:1] != (self.rows,):
                raise ShapeError(f"{name}: expected {self.rows} rows, as x has, got shape {array.shape}")
            return array
        rows = [_arrays.array(row, f"{name}[{index}]") for index, row in enumerate(value)]
        if [row.shape[:1] for row in rows] != [(length,) for length in self.lengths]:
            raise ShapeError(f"{name}: expected a list of {self.rows} arrays with the lengths of x's sequences")
        return rows

    def epoch(self, order: np.random.Generator | None) -> Iterator[Batch]:
        """Batches of like lengths in a drawn order; without one by length, or as given if the order is to be kept."""
        rows = np.arange(self.rows) if order is None else order.permutation(self.rows)
        if order is not None or not self._keep:
            pool = self._size * _POOL if order is not None else max(1, self.rows)
            pools = [rows[start : start + pool] for start in range(0, self.rows, pool)]
            rows = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in pools])
        starts = np.arange(0, self.rows, self._size)
        for start in starts if order is None else order.permutation(starts):
            chosen = rows[start : start + self._size]
            y = self._take(self._y, chosen)
            yield self._task.batch(
                _pad(self._x, chosen), y, self.lengths[chosen], self._take(self._mask, chosen), chosen
            )

    @staticmethod
    def _take(values: Any, chosen: NDArray[np.int64]) -> Any:
        return _pad(values, chosen) if isinstance(values, list) else None if values is None else values[chosen]

    def updates(self, bptt: int | None) -> int | None:
        """How many updates an epoch has, where that is known."""
        return -(-self.rows // self._size) if bptt is None else None

    def check_stateful(self) -> None:
        """Padding ends rows at different steps, so there is nothing to go on from."""
        raise UnsupportedError("stateful: expected arrays or an iterable of batches, got a list of sequences")


class IterableData:
    """Batches that the user's iterable gives."""

    def __init__(self, task: Task, batches: Any) -> None:
        if not callable(batches) and not isinstance(batches, Iterable):
            raise DtypeError(f"x: expected an array, a list or an iterable of batches, got {type(batches).__name__}")
        self._task = task
        self._batches = batches

    def epoch(self, order: np.random.Generator | None) -> Iterator[Batch]:  # noqa: ARG002 (their order is the user's)
        """One pass over the iterable."""
        count = 0
        batches: Any = self._batches
        for item in batches() if callable(batches) else batches:
            if not isinstance(item, (tuple, list)) or not 2 <= len(item) <= 4:
                raise ShapeError(
                    "x: expected batches (x, y), (x, y, lengths) or (x, y, lengths, mask) from the iterable"
                )
            yield self._task.batch(*item, *[None] * (4 - len(item)))
            count += 1
        if not count:
            raise InvalidValueError(
                "x: expected batches, got none; an iterator that is used up gives no second epoch: "
                "pass a list, or a function that makes a new iterator"
            )

    def updates(self, bptt: int | None) -> int | None:
        """How many updates an epoch has, where that is known."""
        return len(self._batches) if bptt is None and isinstance(self._batches, Sized) else None

    def check_stateful(self) -> None:
        """Whether the rows go on from batch to batch is in the user's hands."""


Data = ArrayData | RaggedData | IterableData


def data(task: Task, source: tuple[Any, ...], batch_size: int, *, keep: bool = False) -> Data:
    """The user's (x, y, lengths, mask) as batches; ``keep``: the order of rows must stay as it is."""
    x, y, lengths, mask = source
    if y is not None:
        return rows(task, source, batch_size, keep=keep)
    if _is_array(x):
        raise InvalidValueError("y: expected targets, got None")
    if lengths is not None or mask is not None:
        raise InvalidValueError("lengths, mask: expected inside the batches, since x is an iterable of batches")
    return IterableData(task, x)


def rows(task: Task, source: tuple[Any, ...], batch_size: int, *, keep: bool = False) -> ArrayData | RaggedData:
    """Arrays or lists as batches."""
    x, y, lengths, mask = source
    batch_size = _numbers.count(batch_size, "batch_size")
    if _is_array(x):
        return ArrayData(task, x, y, lengths, mask, batch_size)
    if not isinstance(x, (list, tuple)):
        raise DtypeError(f"x: expected an array or a list of sequences, got {type(x).__name__}")
    if not x:
        raise ShapeError("x: expected at least one sequence, got an empty list")
    return RaggedData(task, x, y, lengths, mask, batch_size, keep=keep)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def check_bptt(model: _core.Model, bptt: int | None) -> None:
    """Whether a model's sequences can be cut into pieces of so many steps."""
    if _numbers.optional(bptt, "bptt") is None:
        return
    if not model.output_steps:
        raise UnsupportedError("bptt: expected a model with an output at every step, got one that ends in Last")
    forward_only(model, "bptt")


def forward_only(model: _core.Model, option: str) -> None:
    """Carrying the state from piece to piece needs a model that runs forward in time."""
    if any(direction for _, _, direction, _, _ in model.states):
        raise UnsupportedError(
            f"{option}: expected a model that runs forward in time, got one with a reverse direction"
        )


def pieces(batches: Iterable[Batch], bptt: int | None) -> Iterator[Piece]:
    """The batches in pieces of ``bptt`` steps, without those in which no row is left."""
    for batch in batches:
        total = batch.x.shape[1]
        if bptt is None or total <= bptt:
            yield Piece(batch, 0, fresh=True)
            continue
        for start in range(0, total, bptt):
            lengths = None if batch.lengths is None else np.clip(batch.lengths - start, 0, min(bptt, total - start))
            if lengths is not None and start and not lengths.any():
                break
            part = slice(start, start + bptt)
            mask = None if batch.mask is None else batch.mask[:, part]
            yield Piece(Batch(batch.x[:, part], batch.y[:, part], lengths, mask, batch.rows), start, fresh=start == 0)


def valid(batch: Batch, *, steps: bool) -> Array:
    """The weight of each step (or row): the mask's, and zero at and beyond a row's length."""
    lead = batch.x.shape[: 2 if steps else 1]
    weights = np.ones(lead) if batch.mask is None else batch.mask.astype(np.float64)
    if steps and batch.lengths is not None:
        weights = weights * (np.arange(lead[1]) < batch.lengths[:, None])
    return weights


def _pad(rows: list[Array], chosen: NDArray[np.int64]) -> Array:
    """The chosen rows side by side, zeros beyond their ends (which nothing reads)."""
    taken = [rows[index] for index in chosen]
    longest = max(len(row) for row in taken)
    dtype = np.result_type(*{row.dtype for row in taken})
    padded = np.zeros((len(taken), longest, *taken[0].shape[1:]), dtype)
    for index, row in enumerate(taken):
        padded[index, : len(row)] = row
    return padded
