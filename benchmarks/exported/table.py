"""One row of the table: a model in a mode, for the targets that give it the same graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import rnnrs
from rnnrs_onnx import Session

from ..measure import in_turns
from .models import MODES, TARGETS, model, recurrence


@dataclass(frozen=True)
class Sizes:
    """Of the models and of the batch; steps and loops are timed for one row."""

    inputs: int = 32
    hidden: int = 32
    rows: int = 8
    steps: int = 100
    seconds: float = 0.2
    """For which a row is timed."""

    def __str__(self) -> str:
        return f"I{self.inputs} H{self.hidden} B{self.rows} T{self.steps}"


@dataclass(frozen=True)
class Row:
    """What became of a model, how close it is, and the median seconds of onnxruntime and of the engine."""

    cell: str
    mode: str
    targets: tuple[str, ...]
    operator: str
    difference: float
    """The largest |a - b| / (1 + |b|) of what `verify` compares."""
    onnxruntime: float
    engine: float

    @property
    def ratio(self) -> float:
        """How many times as fast as onnxruntime the engine is."""
        return self.onnxruntime / self.engine


def rows(configuration: Any, sizes: Sizes, folder: Path) -> Iterator[Row]:
    """The rows of a configuration. A difference above the bound of `verify` raises ExportError."""
    made = model(configuration, sizes.inputs, sizes.hidden)
    for mode in MODES:
        forms: dict[bytes, list[tuple[str, Any]]] = {}
        for target in TARGETS:
            path = folder / f"{target}.onnx"
            report = made.to_onnx(path, mode=mode, target=target)
            graph = report.built.proto.graph.SerializeToString(deterministic=True)
            forms.setdefault(graph, []).append((target, report))
        for alike in forms.values():
            target, report = alike[0]
            calls = _calls(made, Session(folder / f"{target}.onnx", threads=1), sizes)
            theirs, ours = in_turns(*calls, seconds=sizes.seconds, pause=0.0, repeats=(3, 50))
            targets = tuple(target for target, _ in alike)
            difference = report.parity.largest
            yield Row(configuration.name, mode, targets, recurrence(report), difference, median(theirs), median(ours))


def _calls(made: rnnrs.Sequential, session: Session, sizes: Sizes) -> tuple[Callable[[], None], Callable[[], None]]:
    """The same work by a session and by the engine."""
    random = np.random.default_rng(0)
    width = int(session.inputs["start" if session.mode == "loop" else "x"][1][-1])
    if session.mode == "sequence":
        x = random.normal(size=(sizes.rows, sizes.steps, width)).astype(made.dtype)

        def theirs() -> None:
            session.reset()
            session(x)

        return theirs, lambda: _drop(made(x))
    stream = made.stream(1)
    steps = list(random.normal(size=(sizes.steps, 1, width)).astype(made.dtype))

    def stepped(step: Callable[[Any], Any]) -> Callable[[], None]:
        def run() -> None:
            stream.reset()
            session.reset()
            for x in steps:
                step(x)

        return run

    if session.mode == "step":
        return stepped(session), stepped(stream.step)

    def generated() -> None:
        session.reset()
        session.generate(steps[0], sizes.steps)

    def fed_back() -> None:
        stream.reset()
        y = steps[0]
        for _ in steps:
            y = stream.step(y)

    return generated, fed_back


def _drop(_: Any) -> None:
    """Calls that are timed return nothing."""
