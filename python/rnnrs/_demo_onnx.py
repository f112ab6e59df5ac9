"""The demonstration's last part: the model as ONNX under onnxruntime, its parity and the speed of both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import _charmodel
from ._core import UnsupportedError
from ._sequential import Sequential

ROWS, STEPS, CALLS = 16, 200, 2000


def run(model: Sequential, parts: _charmodel.Parts, out: Path, *, say: Callable[[str], None]) -> None:
    """Exports, compares and times; without rnnrs-onnx or onnxruntime, or where the export is refused, it says so."""
    try:
        import rnnrs_onnx
    except ImportError as error:
        say(f"No ONNX: {error}")
        return
    try:
        whole, step = out / "demo.onnx", out / "demo-step.onnx"
        report = model.to_onnx(whole)
        model.to_onnx(step, mode="step")
        sessions = rnnrs_onnx.Session(whole), rnnrs_onnx.Session(step)
    except (ImportError, UnsupportedError, rnnrs_onnx.ExportError) as error:
        say(f"No ONNX: {error}")
        return
    [form] = [form for _, name, form, _ in report.forms if name not in ("embedding", "dropout", "linear")]
    say(f"\nONNX: {whole} and {step}; the recurrent layer is ONNX's {form}")
    tokens = parts.vocabulary.encode(parts.held_out)
    tokens = np.resize(tokens, ROWS * STEPS).reshape(ROWS, STEPS)
    ours, theirs = model(tokens), sessions[0](tokens)
    difference = float(np.max(np.abs(ours - theirs) / (1 + np.abs(ours))))
    say(f"Parity on held-out text: |a - b| <= {difference:.1e} (1 + |b|)")
    stream, letters = model.stream(), tokens.reshape(-1)[:CALLS]

    def streamed(one: Callable[[Any], Any], wrap: bool) -> Callable[[], None]:
        inputs = [letters[k : k + 1] if wrap else int(letters[k]) for k in range(len(letters))]

        def go() -> None:
            for token in inputs:
                one(token)

        return go

    def at_once() -> None:
        sessions[0].reset()
        sessions[0](tokens)

    say("Characters per second:                rnnrs    onnxruntime")
    pairs = {
        f"{ROWS} rows of {STEPS} at once": (tokens.size, lambda: model(tokens), at_once),
        "a character a call": (len(letters), streamed(stream.step, False), streamed(sessions[1], True)),
    }
    for name, (count, one, other) in pairs.items():
        a, b = _alternating(one, other)
        say(f"  {name:<30} {count / a:>12,.0f} {count / b:>14,.0f}")


def _alternating(one: Callable[[], Any], other: Callable[[], Any], repeats: int = 5) -> tuple[float, float]:
    """Medians of the seconds that two functions take, turn by turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for function, found in zip((one, other), times, strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    # The first round warms up.
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])
