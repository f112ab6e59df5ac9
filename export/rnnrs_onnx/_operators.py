"""ONNX's RNN, GRU and LSTM: which of them run where, and how a recognised cell is written as one."""

from __future__ import annotations

import numpy as np

from ._graph import Stage
from ._recognise import Operator, sources
from ._scope import Array, Value
from ._sequence import Sequence


def refusal(found: Operator, target: str, dtype: str) -> str | None:
    """Why onnxruntime should not be given the operator there, or None."""
    if dtype == "float64":
        return "onnxruntime runs it in float32 only"
    if dtype == "int8" and found.kind != "LSTM":
        return "onnxruntime's tools quantise the products of a Scan, and of the operators LSTM alone"
    if target == "cpu":
        return None
    if found.kind == "RNN" and found.activation != "Tanh":
        return "a ReLU RNN falls back to the CPU"
    if found.kind == "RNN" and target == "web":
        return "WebGPU has no RNN"
    if found.kind == "GRU" and not found.reset_after:
        return "a GRU with linear_before_reset = 0 falls back to the CPU"
    if found.kind == "LSTM" and found.peephole:
        return "an LSTM with peepholes falls back to the CPU"
    return None


def write(
    sequence: Sequence,
    stages: list[Stage],
    constants: list[dict[int, Array]],
    states: list[list[str]],
    found: list[Operator],
    *,
    reverse: bool = False,
) -> tuple[list[str], list[list[str]]]:
    """Writes a stage, or the two directions of a layer, as one operator: ys and states after, as of `_scan.write`."""
    writer, first = sequence.writer, found[0]
    tensors = [
        np.stack([np.concatenate([gate.w for gate in each.gates]) for each in found]),
        np.stack([np.concatenate([gate.r for gate in each.gates]) for each in found]),
        np.stack([_biases(each) for each in found]),
    ]
    names = [writer.floats(tensor, stem) for tensor, stem in zip(tensors, ("W", "R", "B"), strict=True)]
    width = first.gates[0].r.shape[0]
    x, lengths = sequence.x, ""
    if sequence.lengths is not None:
        # What lies beyond a row's end may be anything; zero times it may not.
        x = writer.op("Where", sequence.valid, x, writer.number(0.0))
        lengths = writer.op("Cast", sequence.lengths, to=6)
    initial = []
    for place in range(len(first.states)):
        own = [writer.op("Unsqueeze", s[f.states[place]], writer.ints(0)) for s, f in zip(states, found, strict=True)]
        initial.append(own[0] if len(own) == 1 else writer.op("Concat", *own, axis=0))
    attributes: dict[str, object] = {"hidden_size": width}
    attributes["direction"] = "bidirectional" if len(found) > 1 else "reverse" if reverse else "forward"
    peepholes = []
    if first.kind == "RNN" and first.activation != "Tanh":
        attributes["activations"] = [each.activation for each in found]
    if first.kind == "GRU":
        attributes["linear_before_reset"] = int(first.reset_after)
    if any(each.peephole for each in found):
        peepholes = [writer.floats(np.stack([_peepholes(each) for each in found]), "P")]
    results = writer.op(
        first.kind, x, *names, lengths, *initial, *peepholes, outputs=1 + len(first.states), **attributes
    )
    ys, finals = [], []
    for direction, (stage, fixed, each) in enumerate(zip(stages, constants, found, strict=True)):
        index = writer.integer(direction)
        h = writer.op("Squeeze", results[0], writer.ints(1)) if len(found) == 1 else None
        h = h or writer.op("Gather", results[0], index, axis=1)
        scope = sequence.scope(stage, fixed)
        for alias in sources(stage.cell, stage.cell.states[each.states[0]][2]):
            scope.values[alias] = Value(h, 2)
        scope.compute_to(stage.cell.output)
        ys.append(scope.whole(stage.cell.output))
        ends = [""] * len(each.states)
        for place, number in enumerate(each.states):
            end = writer.op("Gather", results[1 + place], index, axis=0)
            if sequence.lengths is not None:
                # onnxruntime gives zeros where a row has no step.
                some = writer.op("Unsqueeze", writer.op("Greater", sequence.lengths, writer.integer(0)), writer.ints(1))
                end = writer.op("Where", some, end, states[direction][number])
            ends[number] = end
        finals.append(ends)
    return ys, finals


def _biases(found: Operator) -> Array:
    """Those of W, then those of R: zeros, but for a GRU whose r multiplies after R."""
    own = np.concatenate([gate.b for gate in found.gates])
    recurrent = np.zeros_like(own)
    if found.recurrent_bias is not None:
        recurrent[-len(found.recurrent_bias) :] = found.recurrent_bias
    return np.concatenate([own, recurrent])


def _peepholes(found: Operator) -> Array:
    """Of i, o, f."""
    width = len(found.gates[0].b)
    return np.concatenate([gate.p if gate.p is not None else np.zeros(width) for gate in found.gates[:3]])
