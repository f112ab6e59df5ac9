"""The laws that every cell obeys, as functions of a case: each returns its worst deviation, or says what is broken."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import _arrays, _core, _files
from ._core import FileError
from ._definition import Definition
from ._recurrent import Recurrent
from ._tape import Gradients, Tape

Array = _arrays.Array
Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]
Reference = Callable[..., Any]


class LawBroken(AssertionError):
    """A cell does not obey a law."""


@dataclass(frozen=True)
class Case:
    """A cell with numbers: what one run of a law is about."""

    cell: Definition
    seed: int
    draw_x: Draw
    draw_state: Draw
    reference: Reference | None
    simd: bool
    """Whether to try every SIMD path."""

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers, from the beginning."""
        return np.random.default_rng(self.seed)

    def layer(self, **options: Any) -> Recurrent:
        """The cell as a layer, its parameters moved from where they start so that none is without effect."""
        layer = Recurrent(self.cell, **{"dtype": "float64", "seed": self.seed, **options})
        rng = np.random.default_rng([self.seed, 1])
        moved = {}
        for name, value in layer.state_dict().items():
            spread = 0.3 / np.sqrt(value.shape[-1] if value.ndim > 1 else 1.0)
            moved[name] = (value + spread * rng.normal(size=value.shape)).astype(value.dtype)
        layer.load_state_dict(moved)
        return layer

    def x(self, layer: Recurrent, steps: int, batch: int) -> Array:
        """(T, B, F)."""
        drawn = np.asarray(self.draw_x(np.random.default_rng([self.seed, 2]), (steps, batch, layer.input_size)))
        return drawn.astype(layer.dtype)

    def state(self, layer: Recurrent, batch: int) -> Any:
        """An initial state; zero for every other case."""
        form = layer.record(np.zeros((0, batch, layer.input_size)), training=False).state
        rng = np.random.default_rng([self.seed, 3])
        scale = self.seed % 2
        return like(form, [(scale * np.asarray(self.draw_state(rng, s.shape))).astype(s.dtype) for s in flat(form)])

    def sizes(self, least: int = 0) -> tuple[int, int]:
        """(T, B)."""
        rng = np.random.default_rng([self.seed, 4])
        return int(rng.integers(least, 10)), int(rng.integers(1, 6))


def flat(state: Any) -> list[Array]:
    """The arrays of a state."""
    return list(state) if isinstance(state, tuple) else [state]


def like(form: Any, arrays: list[Array]) -> Any:
    """Arrays in the form of a state."""
    return tuple(arrays) if isinstance(form, tuple) else arrays[0]


def same_bits(what: str, a: Any, b: Any) -> None:
    """Refuses two arrays that differ in a bit, those within NaN apart."""
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    bits = f"u{a.dtype.itemsize}"
    if a.shape != b.shape or not ((a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))).all():
        raise LawBroken(f"{what}: expected the same bits, got a difference of {np.abs(a - b).max(initial=0.0):.3g}")


def same_pass(what: str, one: Tape, other: Tape, rng: np.random.Generator) -> None:
    """Refuses two tapes whose results or gradients differ in a bit."""
    same_bits(f"{what}: y", one.y, other.y)
    for a, b in zip(flat(one.state), flat(other.state), strict=True):
        same_bits(f"{what}: state", a, b)
    dy, dstate = cotangents(one, rng)
    same_gradients(what, one.backward(dy, dstate), other.backward(dy, dstate))


def same_gradients(what: str, one: Gradients, other: Gradients) -> None:
    """Refuses two gradients that differ in a bit."""
    same_bits(f"{what}: gradient of x", one.x, other.x)
    for a, b in zip(flat(one.state), flat(other.state), strict=True):
        same_bits(f"{what}: gradient of the state", a, b)
    for name in one.params:
        same_bits(f"{what}: gradient of {name}", one.params[name], other.params[name])


def cotangents(tape: Tape, rng: np.random.Generator) -> tuple[Array, Any]:
    """Random gradients of y and of the final state."""
    dy = rng.normal(size=tape.y.shape).astype(tape.y.dtype)
    return dy, like(tape.state, [rng.normal(size=s.shape).astype(s.dtype) for s in flat(tape.state)])


def gradients(case: Case) -> float:
    """Law 1: gradients equal central differences in float64, in training (draws held) and out of it."""
    layer = case.layer(zoneout=0.2 if case.seed % 3 == 2 else 0.0)
    steps, batch = 1 + case.seed % 4, 1 + case.seed % 2
    how: Any = {"training": bool(case.seed % 2), "seed": case.seed}
    x, state = case.x(layer, steps, batch), case.state(layer, batch)
    tape = layer.record(x, state, **how)
    dy, dstate = cotangents(tape, case.rng)
    exact = tape.backward(dy, dstate)
    values = layer.state_dict()

    def loss(x: Array, parts: list[Array], params: dict[str, Array] | None = None) -> float:
        if params is not None:
            layer.load_state_dict(params)
        again = layer.record(x, like(state, parts), **how)
        total = float((again.y * dy).sum())
        return total + sum(float((s * d).sum()) for s, d in zip(flat(again.state), flat(dstate), strict=True))

    parts = flat(state)
    assert exact.x is not None
    worst = _compare("x", exact.x, x, lambda v: loss(v, parts), case.rng)
    for k, part in enumerate(parts):
        at = lambda v, k=k: loss(x, [*parts[:k], v, *parts[k + 1 :]])  # noqa: E731
        worst = max(worst, _compare(f"state {k}", flat(exact.state)[k], part, at, case.rng))
    for name, value in values.items():
        at = lambda v, name=name: loss(x, parts, {**values, name: v})  # noqa: E731
        worst = max(worst, _compare(name, exact.params[name], value, at, case.rng))
        layer.load_state_dict(values)
    return worst


def _compare(what: str, exact: Array, value: Array, loss: Callable[[Array], float], rng: np.random.Generator) -> float:
    """The deviation of a gradient from differences along some elements and one direction that mixes all."""
    worst = 0.0
    for direction in _directions(value.shape, rng):
        wanted = float((exact * direction).sum())
        allowed = 1e-8 + 1e-6 * abs(wanted)
        nearest = np.inf
        # Small steps suit what curves strongly, large ones what is smooth; near a corner some are small enough.
        for h in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
            f1, f2 = (loss(value + k * h * direction) - loss(value - k * h * direction) for k in (1, 2))
            nearest = min(nearest, abs((8.0 * f1 - f2) / (12.0 * h) - wanted))
            if nearest <= allowed:
                break
        if not nearest <= allowed:
            raise LawBroken(
                f"gradient of {what}: expected central differences, {wanted:.9g} ± {allowed:.1g}, "
                f"got a deviation of {nearest:.3g} (ops.stop and ops.step have other gradients: gradients=False)"
            )
        worst = max(worst, nearest)
    return worst


def _directions(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[Array]:
    size = int(np.prod(shape))
    for k in rng.choice(size, min(size, 4), replace=False):
        yield np.eye(1, size, k).reshape(shape)
    mixed = rng.normal(size=shape)
    yield mixed / np.linalg.norm(mixed)


def reference(case: Case) -> float:
    """Law 2: y and states equal the caller's NumPy step to 1e-10."""
    assert case.reference is not None
    layer = case.layer()
    steps, batch = case.sizes(1)
    x, state = case.x(layer, steps, batch), case.state(layer, batch)
    y, last = layer(x, state)
    params = {name.removesuffix("_l0"): value for name, value in layer.state_dict().items()}
    states = [part[0] for part in flat(state)]
    worst = 0.0
    for t in range(steps):
        wanted, *states = (np.asarray(value) for value in case.reference(params, x[t], *states))
        worst = max(worst, _near(f"y of step {t}", y[t], wanted, 1e-10))
    for got, value in zip(flat(last), states, strict=True):
        worst = max(worst, _near("the final state", got[0], value, 1e-10))
    return worst


def _near(what: str, got: Array, wanted: Array, bound: float) -> float:
    if got.shape != wanted.shape:
        raise LawBroken(f"{what}: expected shape {wanted.shape} as the reference, got {got.shape}")
    deviation = float((np.abs(got - wanted) / (1.0 + np.abs(wanted))).max(initial=0.0))
    if not deviation <= bound:
        raise LawBroken(f"{what}: expected a deviation of at most {bound:.1g}, got {deviation:.3g}")
    return deviation


def steps(case: Case) -> float:
    """Law 3: a sequence equals single steps, and chunks, to the bit."""
    layer = case.layer(dtype="float32" if case.seed % 2 else "float64")
    count, batch = 2 + 4 * case.sizes()[0], case.sizes()[1]
    x, state = case.x(layer, count, batch), case.state(layer, batch)
    y, last = layer(x, state)
    stream = layer.stream(batch)
    stream.state = state
    for t in range(count):
        same_bits(f"step {t} of a stream", stream.step(x[t]), y[t])
    cut = int(case.rng.integers(0, count + 1))
    first, middle = layer(x[:cut], state)
    second, end = layer(x[cut:], middle)
    same_bits("chunks: y", np.concatenate([first, second]), y)
    for a, b, c in zip(flat(last), flat(end), flat(stream.state), strict=True):
        same_bits("chunks: state", b, a)
        same_bits("stream: state", c, a)
    return 0.0


def rows_threads_paths(case: Case) -> float:
    """Law 4: a row alone equals the row in a batch; any number of threads; any SIMD path (a process for each)."""
    layer = case.layer(dtype="float32" if case.seed % 2 else "float64")
    count, batch = case.sizes(1)
    x, state = case.x(layer, count, batch), case.state(layer, batch)
    how = {"training": False}
    whole = layer.record(x, state, **how)
    dy, dstate = cotangents(whole, case.rng)
    grads = whole.backward(dy, dstate)
    for row in range(batch):
        only = slice(row, row + 1)
        alone = layer.record(x[:, only], like(state, [s[:, only] for s in flat(state)]), **how)
        back = alone.backward(dy[:, only], like(dstate, [s[:, only] for s in flat(dstate)]))
        same_bits(f"row {row} alone: y", alone.y, whole.y[:, only])
        assert grads.x is not None
        same_bits(f"row {row} alone: gradient of x", back.x, grads.x[:, only])
    threads = _core.get_num_threads()
    try:
        for count in (1, 2, 3):
            _core.set_num_threads(count)
            same_pass(f"{count} threads", layer.record(x, state, **how), whole, case.rng)
    finally:
        _core.set_num_threads(threads)
    if case.simd:
        paths(layer, x)
    return 0.0


def paths(layer: Recurrent, x: Array) -> None:
    """Refuses a SIMD path whose bits differ from those of this process."""
    here = digest(layer, x)
    with tempfile.TemporaryDirectory() as folder:
        layer.save(Path(folder, "model.safetensors"))
        np.save(Path(folder, "x.npy"), x)
        for path in ("scalar", "avx2", "avx512"):
            code = (
                "import numpy, rnnrs, rnnrs._laws as laws\n"
                "try:\n"
                "    rnnrs._core.simd()\n"
                "except rnnrs.InvalidValueError:\n"
                "    print('the processor has no such path')\n"
                "else:\n"
                "    print(laws.digest(rnnrs.load('model.safetensors'), numpy.load('x.npy')))\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=folder,
                env={**os.environ, "RNNRS_SIMD": path},
                capture_output=True,
                text=True,
                check=True,
            )
            if done.stdout.strip() not in (here, "the processor has no such path"):
                raise LawBroken(f"SIMD path {path}: expected the bits of {_core.simd()}, got others")


def digest(layer: Recurrent, x: Array) -> str:
    """A hash of the bits of y, the final state and all gradients of a pass."""
    tape = layer.record(x, seed=0)
    grads = tape.backward(np.ones_like(tape.y), like(tape.state, [np.ones_like(s) for s in flat(tape.state)]))
    arrays = [tape.y, *flat(tape.state), grads.x, *flat(grads.state), *grads.params.values()]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def lengths(case: Case) -> float:
    """Law 5: padded rows equal each row alone, to the bit, whatever the padding holds."""
    layer = case.layer(bidirectional=bool(case.seed % 2), dtype="float32" if case.seed % 3 else "float64")
    count, batch = case.sizes(1)
    x, state = case.x(layer, count, batch), case.state(layer, batch)
    valid = np.random.default_rng([case.seed, 5]).integers(0, count + 1, batch)
    for row, length in enumerate(valid):
        x[length:, row] = np.nan
    padded = layer.record(x, state, valid, training=False)
    dy, dstate = cotangents(padded, case.rng)
    grads = padded.backward(dy, dstate)
    assert grads.x is not None
    for row, length in enumerate(valid):
        only = slice(row, row + 1)
        alone = layer.record(x[:length, only], like(state, [s[:, only] for s in flat(state)]), training=False)
        back = alone.backward(dy[:length, only], like(dstate, [s[:, only] for s in flat(dstate)]))
        same_bits(f"row of length {length}: y", padded.y[:length, only], alone.y)
        same_bits(f"row of length {length}: gradient of x", grads.x[:length, only], back.x)
        for a, b in zip(flat(padded.state), flat(alone.state), strict=True):
            same_bits(f"row of length {length}: state", a[:, only], b)
        if padded.y[length:, row].any() or grads.x[length:, row].any():
            raise LawBroken(f"row of length {length}: expected 0 beyond it, got other numbers")
    return 0.0


def directions(case: Case) -> float:
    """Law 6: two directions equal one forward and one over the flipped sequence, to the bit."""
    both, forward, backward = case.layer(bidirectional=True), case.layer(), case.layer()
    values = both.state_dict()
    forward.load_state_dict({n: v for n, v in values.items() if not n.endswith("_reverse")})
    backward.load_state_dict({n.removesuffix("_reverse"): v for n, v in values.items() if n.endswith("_reverse")})
    count, batch = case.sizes()
    x, state = case.x(both, count, batch), case.state(both, batch)
    y, last = both(x, state)
    ahead, end = forward(x, like(state, [s[:1] for s in flat(state)]))
    back, start = backward(x[::-1], like(state, [s[1:] for s in flat(state)]))
    same_bits("both directions: y", y, np.concatenate([ahead, back[::-1]], axis=-1))
    for a, b, c in zip(flat(last), flat(end), flat(start), strict=True):
        same_bits("both directions: state", a, np.concatenate([b, c]))
    return 0.0


def checkpoints(case: Case) -> float:
    """Law 7: backpropagation from checkpoints equals the plain one, to the bit, draws of training included."""
    layer = case.layer(dtype="float32" if case.seed % 2 else "float64")
    count, batch = 20 + 5 * case.sizes()[0], case.sizes()[1]
    x, state = case.x(layer, count, batch), case.state(layer, batch)
    how: Any = {"training": True, "seed": case.seed}
    same_pass("checkpoints", layer.record(x, state, checkpoint=16, **how), layer.record(x, state, **how), case.rng)
    return 0.0


def files(case: Case) -> float:
    """Law 8: a saved model gives the same bits; a file that is cut or changed is refused."""
    layer = case.layer()
    x = case.x(layer, *case.sizes(1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        layer.save(path)
        same_bits("loaded: y", _files.load(path)(x)[0], layer(x)[0])
        data = path.read_bytes()
    for place in case.rng.integers(0, len(data), 20):
        for changed in (data[:place], data[:place] + bytes([data[place] ^ 32]) + data[place + 1 :]):
            try:
                _core.Model.from_bytes(changed)
            except FileError:
                continue
            raise LawBroken(f"file: expected a change at byte {place} to be refused, got a model")
    return 0.0


def precision(case: Case) -> float:
    """Law 10: float32 agrees with float64 to 2^-15."""
    double, single = case.layer(), case.layer(dtype="float32")
    values = {name: value.astype(np.float32) for name, value in double.state_dict().items()}
    single.load_state_dict(values)
    double.load_state_dict({name: value.astype(np.float64) for name, value in values.items()})
    x = case.x(single, *case.sizes(1))
    (y, last), (wide, end) = single(x), double(x.astype(np.float64))
    worst = _near("float32: y", y, wide, 2.0**-15)
    for a, b in zip(flat(last), flat(end), strict=True):
        worst = max(worst, _near("float32: state", a, b, 2.0**-15))
    return worst


LAWS: dict[int, tuple[str, Callable[[Case], float]]] = {
    1: ("gradients equal central differences", gradients),
    2: ("steps equal the reference", reference),
    3: ("a sequence equals steps and chunks", steps),
    4: ("rows, threads and SIMD paths do not matter", rows_threads_paths),
    5: ("padding reaches nothing", lengths),
    6: ("directions are flips", directions),
    7: ("checkpoints change nothing", checkpoints),
    8: ("files give the same, or are refused", files),
    10: ("float32 agrees with float64", precision),
}
"""Each law by its number: what it says, and the function that tries it. Law 9 is that of ONNX."""
