"""An exported model against the engine: random inputs of several lengths and batches, states that are not zero."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import rnnrs
from rnnrs import _core

from . import _runtime
from ._build import Built
from ._report import Parity

Array = NDArray[Any]
BOUNDS = {"float32": 1e-5, "float64": 1e-10, "float16": 1e-2}
"""|a - b| / (1 + |b|)"""
SIZES = ((1, 1), (5, 3), (18, 2))
"""(steps, rows)"""
DELICATE = frozenset({"greater", "equal", "step", "floor", "sign", "argmax", "argsort", "div"})
"""Primitives whose results jump, or grow without bound: near such a point rounding decides, so another is tried."""
_DRAWS = 4
_BEFORE = 3
"""Steps from zero that lead to the states with which a case begins."""


class ExportError(rnnrs.Error):
    """An exported model that is not the model: nothing was written."""


def verify(model: Any, built: Built, path: Path, *, quantised: bool = False) -> Parity:
    """Checks a file, and compares its results with the engine's.

    Raises:
        ExportError: it differs by more than it may.
    """
    onnx.checker.check_model(str(path), full_check=True)
    run = evaluator(path)
    delicate = any(node.kind in DELICATE for c in built.choices for node in c.stage.cell.nodes)
    bound = max(BOUNDS[built.options.dtype], BOUNDS[model.dtype])
    largest, count = 0.0, 0
    sizes = SIZES if built.options.mode == "sequence" else ((1, 1), (1, 3), (6, 2))
    left_out = list(run.refuses(built))
    for steps, rows in sizes if not left_out else ():
        for draw in range(_DRAWS if delicate else 1):
            case = Case(model, built, steps, rows, draw)
            error = case.error(run)
            if quantised or error <= bound:
                break
        else:
            raise ExportError(
                f"export: expected results within {bound:g} of the engine's, got a difference of {error:.3g} with "
                f"{steps} steps and {rows} rows under {run.name}; nothing was written"
            )
        largest, count = max(largest, error), count + 1
    return Parity(run.name, count, largest, None if quantised else bound, tuple(left_out))


class Case:
    """Inputs for an exported model, and what the engine makes of them."""

    def __init__(self, model: Any, built: Built, steps: int, rows: int, seed: int) -> None:
        self._model, self._built = model, built
        self._random = np.random.default_rng([steps, rows, seed])
        self._steps, self._rows = steps, rows
        self._dtype = np.dtype(built.options.dtype)
        self.feeds: dict[str, Array] = {}
        self.expected: dict[str, Array] = {}
        states = self._states()
        {"sequence": self._sequence, "step": self._step, "loop": self._loop}[built.options.mode](states)

    def error(self, run: Evaluator) -> float:
        """The largest |a - b| / (1 + |b|)."""
        found = run(self.feeds)
        largest = 0.0
        for name, wanted in self.expected.items():
            got = np.asarray(found[name], np.float64)
            if got.shape != wanted.shape:
                return float("inf")
            with np.errstate(invalid="ignore"):
                off = np.abs(got - wanted) / (1 + np.abs(wanted))
            largest = max(largest, float(np.max(np.where(np.isnan(off), np.inf, off), initial=0.0)))
        return largest

    def _numbers(self, *shape: int) -> Array:
        return self._random.normal(size=shape).astype(self._dtype)

    def _x(self, *lead: int) -> Array:
        interface = self._built.interface
        if interface.tokens:
            return self._random.integers(0, interface.features, lead)
        return self._numbers(*lead, interface.features)

    def _states(self) -> list[Array] | None:
        """The states before, flat as the engine has them: those that some steps lead to.

        Others a cell may not be made for: the normaliser of an sLSTM is positive, and near zero rounding decides all.
        """
        core = self._model._native
        if self._built.options.zero_state:
            return None
        _, flat = core.forward(self._native(self._x(_BEFORE, self._rows)), None)
        flat = [state.astype(self._dtype) for state in flat]
        for name, shape, members in self._built.interface.states:
            parts = [flat[member] for member in members]
            self.feeds[name] = np.stack(parts) if len(shape) == 3 else parts[0]
        return [state.astype(self._model.dtype) for state in flat]

    def _expect(self, y: Array, states: list[Array]) -> None:
        self.expected["y"] = np.asarray(y, np.float64)
        for name, shape, members in self._built.interface.states:
            parts = [np.asarray(states[member], np.float64) for member in members]
            self.expected[f"{name}_next"] = np.stack(parts) if len(shape) == 3 else parts[0]

    def _native(self, x: Array) -> Array:
        return x if x.dtype.kind == "i" else x.astype(self._model.dtype)

    def _sequence(self, states: list[Array] | None) -> None:
        batch_first = self._layout_batch_first()
        x = self._x(*((self._rows, self._steps) if batch_first else (self._steps, self._rows)))
        self.feeds["x"] = x
        lengths = None
        if self._built.options.lengths:
            lengths = np.resize([self._steps, 0, (self._steps + 1) // 2], self._rows).astype(np.int64)
            self.feeds["lengths"] = lengths
        y, last = self._model._native.forward(self._native(x), states, lengths, batch_first, *self._noise())
        self._expect(y, last)

    def _noise(self) -> tuple[bool, int]:
        """Feeds the numbers that the engine draws in training with a seed; returns both."""
        seed = int(self._random.integers(2**31))
        sequences = self._built.options.mode == "sequence"
        for name, (kind, shape, per_sequence) in self._built.noises.items():
            steps, width = None if per_sequence else self._steps, int(np.prod(shape))
            draws = _core.draws(seed, name.removeprefix("noise."), kind == "normal", steps, self._rows, width)
            lead = () if per_sequence or not sequences else (self._steps,)
            numbers = np.asarray(draws).reshape(*lead, self._rows, *shape)
            # Compared with a probability in at least float32.
            least = np.float32 if kind == "bernoulli" else self._dtype
            self.feeds[name] = numbers.astype(np.promote_types(self._dtype, least))
        return self._built.options.noise, seed

    def _layout_batch_first(self) -> bool:
        [x] = [value for value in self._built.proto.graph.input if value.name == "x"]
        return bool(x.type.tensor_type.shape.dim[0].dim_param == "batch")

    def _step(self, states: list[Array] | None) -> None:
        x = self._x(self._rows)
        self.feeds["x"] = x
        self._steps = 1
        y, last = self._model._native.forward(self._native(x)[None], states, None, False, *self._noise())
        self._expect(y[0] if self._model._native.output_steps else y, last)

    def _loop(self, states: list[Array] | None) -> None:
        self.feeds["start"] = x = self._x(self._rows)
        self.feeds["steps"] = np.asarray(self._steps, np.int64)
        options, tokens = self._built.options, self._built.interface.tokens
        draws = self._random.random((self._steps, self._rows))
        temperature = 0.7
        if tokens and options.sample == "random":
            self.feeds["noise.sample"] = draws.astype("float32" if options.target == "web" else "float64")
            self.feeds["temperature"] = np.asarray(temperature, self._dtype)
        core, made, current, after = self._model._native, [], self._native(x), states
        for step in range(self._steps):
            y, after = core.forward(current[None], after)
            current = y[0]
            if tokens:
                random = options.sample == "random"
                current = _drawn(y[0], temperature, draws[step]) if random else y[0].argmax(axis=-1)
            made.append(current)
        self._expect(np.stack(made, axis=1), after or [])


def _drawn(y: Array, temperature: float, draws: Array) -> Array:
    """Tokens from softmax(y / temperature) by their cumulative shares."""
    scores = (y / np.asarray(temperature, y.dtype)).astype(np.float64)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True)).cumsum(axis=-1)
    below = shares <= draws[:, None] * shares[:, -1:]
    return np.asarray(below.sum(axis=-1).clip(max=y.shape[-1] - 1), np.int64)


class Evaluator:
    """What runs an exported model."""

    name = ""

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        raise NotImplementedError

    def refuses(self, built: Built) -> Iterator[str]:  # noqa: ARG002
        """What it cannot run, and why."""
        return iter(())


class Runtime(Evaluator):
    """onnxruntime on the CPU."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.name = f"onnxruntime {onnxruntime.__version__}"
        self._session = _runtime.open_session(onnxruntime, path, ["CPUExecutionProvider"])
        self._outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        return dict(zip(self._outputs, self._session.run(None, feeds), strict=True))


class Reference(Evaluator):
    """onnx's own evaluator in Python: slow, and without some of what operators can do."""

    name = f"onnx {onnx.__version__} ReferenceEvaluator"

    def __init__(self, path: Path) -> None:
        from onnx.reference import ReferenceEvaluator

        self._session = ReferenceEvaluator(str(path))
        self._outputs = self._session.output_names

    def __call__(self, feeds: dict[str, Array]) -> dict[str, Array]:
        # It computes with NumPy, which would warn of an infinity that a later minimum takes away.
        with np.errstate(all="ignore"):
            return dict(zip(self._outputs, self._session.run(None, feeds), strict=True))

    def refuses(self, built: Built) -> Iterator[str]:
        """It ignores sequence_lens and activations of the operators, and refuses a Scan that runs backwards."""
        kinds = {choice.form for choice in built.choices}
        for node in built.proto.graph.node:
            if node.op_type in ("RNN", "GRU", "LSTM"):
                names = {attribute.name for attribute in node.attribute}
                if built.options.lengths:
                    yield f"{node.op_type} with lengths, which this evaluator ignores"
                elif "activations" in names:
                    yield f"{node.op_type} with activations, which this evaluator ignores"
                elif any(a.name == "direction" and a.s != b"forward" for a in node.attribute):
                    yield f"{node.op_type} that reads backwards, which this evaluator does not do"
        if "Scan" in kinds:
            for node in built.proto.graph.node:
                for attribute in node.attribute:
                    if attribute.name == "scan_input_directions" and any(attribute.ints):
                        yield "a Scan that reads backwards, which this evaluator refuses"


def evaluator(path: Path) -> Evaluator:
    """Onnxruntime where it is installed."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return Reference(path)
    return Runtime(path)
