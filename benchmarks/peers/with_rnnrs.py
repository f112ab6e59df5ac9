"""rnnrs, through its public Python surface."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

import rnnrs
from rnnrs import ops

from ..problem import Array, Contender, Problem

VERSION = rnnrs.__version__
CHECKPOINT = 1000


def setup(threads: int) -> None:
    rnnrs.set_num_threads(threads)


class OwnLSTM(rnnrs.Cell):
    """Long short-term memory as a user writes it, gate by gate."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input=input_size, state={"h": hidden_size, "c": hidden_size})

    def step(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        i, f, o = (ops.sigmoid(self.linear(gate, x, h)) for gate in "ifo")
        c = f * c + i * ops.tanh(self.linear("g", x, h))
        return o * ops.tanh(c), c


def _layer(problem: Problem, **options: Any) -> rnnrs.Recurrent:
    sizes = (problem.inputs, problem.hidden)
    layer: rnnrs.Recurrent
    if problem.cell in ("lstm", "peephole"):
        options = {"peephole": problem.cell == "peephole", **options}
        layer = rnnrs.LSTM(*sizes, problem.layers, seed=0, **options)
    elif problem.cell in ("gru", "rnn"):
        layer = {"gru": rnnrs.GRU, "rnn": rnnrs.RNN}[problem.cell](*sizes, problem.layers, seed=0)
    else:
        cell = {"mgu": rnnrs.cells.MGU, "indrnn": rnnrs.cells.IndRNN}[problem.cell]
        layer = rnnrs.Recurrent(cell(*sizes), problem.layers, seed=0)
    own = {name: np.zeros_like(value) for name, value in layer.state_dict().items()}
    layer.load_state_dict({**own, **problem.weights})
    return layer


def train(
    problem: Problem, checkpoint: int | None = None, precision: Literal["full", "bfloat16"] = "full", **options: Any
) -> Contender:
    layer = _layer(problem, **options)
    layer.precision = precision
    last: dict[str, Any] = {}

    def run() -> None:
        last["tape"] = tape = layer.record(problem.x, lengths=problem.lengths, checkpoint=checkpoint)
        last["grads"] = tape.backward(problem.dy)

    def results() -> dict[str, Array]:
        params = last["grads"].params
        return {"y": last["tape"].y, "dx": last["grads"].x, **{name: params[name] for name in problem.weights}}

    return Contender(run, results)


def train_bfloat16(problem: Problem) -> Contender:
    """With products of bfloat16 numbers."""
    return train(problem, precision="bfloat16")


def train_alone(problem: Problem) -> Contender:
    """On one thread, whatever was set."""
    inner, threads = train(problem), rnnrs.get_num_threads()

    def run() -> None:
        rnnrs.set_num_threads(1)
        try:
            inner.run()
        finally:
            rnnrs.set_num_threads(threads)

    return Contender(run, inner.results)


def train_full(problem: Problem) -> Contender:
    """The same cell over as many steps in all, but as sequences of equal lengths."""
    assert problem.lengths is not None
    total = int(problem.lengths.sum())
    full = replace(problem, ragged=False, steps=round(total / problem.batch))
    return Contender(train(full).run, dict, scale=total / (full.steps * full.batch))


def train_ragged(problem: Problem) -> Contender:
    """For the comparison with `train_full`, which has other results."""
    return Contender(train(problem).run, dict)


def train_long(problem: Problem) -> Contender:
    """With checkpoints; for the comparison with `train_short`, which has other results."""
    return Contender(train(problem, checkpoint=CHECKPOINT).run, dict)


def train_short(problem: Problem) -> Contender:
    """A thousand steps, the time as if they were as many as the problem has."""
    short = replace(problem, steps=1000)
    return Contender(train(short).run, dict, scale=problem.steps / short.steps)


def train_peephole(problem: Problem) -> Contender:
    """With peepholes of weight zero, so that the results are the plain LSTM's and can be compared with them."""
    return train(problem, peephole=True)


def train_own(problem: Problem) -> Contender:
    """The user's cell; its parameters gate by gate are rows of the built-in's."""
    layer = rnnrs.Recurrent(OwnLSTM(problem.inputs, problem.hidden), seed=0)
    last: dict[str, Any] = {}
    names = {"weight_ih_l0": "{}.weight_x_l0", "weight_hh_l0": "{}.weight_h_l0", "bias_ih_l0": "{}.bias_l0"}
    own: dict[str, Array] = {}
    for whole, name in names.items():
        parts = np.split(problem.weights[whole], 4)
        own |= {name.format(gate): part for gate, part in zip("ifgo", parts, strict=True)}
    for gate, part in zip("ifgo", np.split(problem.weights["bias_hh_l0"], 4), strict=True):
        own[f"{gate}.bias_l0"] = own[f"{gate}.bias_l0"] + part
    layer.load_state_dict(own)

    def run() -> None:
        last["tape"] = tape = layer.record(problem.x)
        last["grads"] = tape.backward(problem.dy)

    def results() -> dict[str, Array]:
        params = last["grads"].params
        grads = {whole: np.concatenate([params[name.format(gate)] for gate in "ifgo"]) for whole, name in names.items()}
        return {"y": last["tape"].y, "dx": last["grads"].x, **grads, "bias_hh_l0": grads["bias_ih_l0"]}

    return Contender(run, results)


def forward_bfloat16(problem: Problem) -> Contender:
    """With products of bfloat16 numbers."""
    return forward(problem, "bfloat16")


def forward(problem: Problem, precision: Literal["full", "bfloat16"] = "full") -> Contender:
    layer, last = _layer(problem), {}
    layer.precision = precision

    def run() -> None:
        last["y"], last["states"] = layer(problem.x)

    def results() -> dict[str, Array]:
        states = last["states"] if problem.states > 1 else (last["states"],)
        return {"y": last["y"], **{f"state{k}": np.asarray(state)[0] for k, state in enumerate(states)}}

    return Contender(run, results)


Weights = Literal["full", "bfloat16", "int8"]


def stream(problem: Problem, weights: Weights = "full") -> Contender:
    """A step a call of the stream."""
    stream, last = _layer(problem).stream(weights=weights), {}
    steps = list(problem.x[:, 0])

    def run() -> None:
        stream.reset()
        step = stream.step
        for x in steps:
            y = step(x)
        last["y"] = y

    return Contender(run, lambda: {"y": last["y"]})


def stream_block(problem: Problem, weights: Weights = "full") -> Contender:
    """All steps in a call of the stream."""
    stream, last = _layer(problem).stream(weights=weights), {}
    x = np.ascontiguousarray(problem.x[:, 0])

    def run() -> None:
        stream.reset()
        last["y"] = stream.steps(x)[-1]

    return Contender(run, lambda: {"y": last["y"]})


# Weights of fewer bits give other results, so neither these nor what they are compared with tell theirs.


def stream_bfloat16(problem: Problem) -> Contender:
    return Contender(stream(problem, "bfloat16").run, dict)


def stream_int8(problem: Problem) -> Contender:
    return Contender(stream(problem, "int8").run, dict)


def stream_full(problem: Problem) -> Contender:
    return Contender(stream(problem).run, dict)


def stream_block_bfloat16(problem: Problem) -> Contender:
    return Contender(stream_block(problem, "bfloat16").run, dict)


def stream_block_int8(problem: Problem) -> Contender:
    return Contender(stream_block(problem, "int8").run, dict)


def stream_block_full(problem: Problem) -> Contender:
    return Contender(stream_block(problem).run, dict)
