"""rnnrs, through its public Python surface."""

from __future__ import annotations

from typing import Any

import numpy as np

import rnnrs
from rnnrs import ops

from ..problem import Array, Contender, Problem

VERSION = rnnrs.__version__


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
    layer: rnnrs.Recurrent
    if problem.cell == "indrnn":
        layer = rnnrs.Recurrent(rnnrs.cells.IndRNN(problem.inputs, problem.hidden), problem.layers, seed=0)
    else:
        options = {"peephole": problem.cell == "peephole", **options}
        layer = rnnrs.LSTM(problem.inputs, problem.hidden, problem.layers, seed=0, **options)
    own = {name: np.zeros_like(value) for name, value in layer.state_dict().items()}
    layer.load_state_dict({**own, **problem.weights})
    return layer


def train(problem: Problem, **options: Any) -> Contender:
    layer, last = _layer(problem, **options), {}

    def run() -> None:
        last["tape"] = tape = layer.record(problem.x)
        last["grads"] = tape.backward(problem.dy)

    def results() -> dict[str, Array]:
        params = last["grads"].params
        return {"y": last["tape"].y, "dx": last["grads"].x, **{name: params[name] for name in problem.weights}}

    return Contender(run, results)


def train_peephole(problem: Problem) -> Contender:
    """With peepholes of weight zero, so that the results are the plain LSTM's and can be compared with them."""
    return train(problem, peephole=True)


def train_own(problem: Problem) -> Contender:
    """The user's cell; its parameters gate by gate are rows of the built-in's."""
    layer, last = rnnrs.Recurrent(OwnLSTM(problem.inputs, problem.hidden), seed=0), {}
    names = {"weight_ih_l0": "{}.weight_x_l0", "weight_hh_l0": "{}.weight_h_l0", "bias_ih_l0": "{}.bias_l0"}
    own = {}
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


def forward(problem: Problem) -> Contender:
    layer, last = _layer(problem), {}

    def run() -> None:
        last["y"], (last["h"], last["c"]) = layer(problem.x)

    return Contender(run, lambda: {"y": last["y"], "h": last["h"][0], "c": last["c"][0]})


def stream(problem: Problem) -> Contender:
    stream, last = _layer(problem).stream(), {}
    steps = list(problem.x[:, 0])

    def run() -> None:
        stream.reset()
        step = stream.step
        for x in steps:
            y = step(x)
        last["y"] = y

    return Contender(run, lambda: {"y": last["y"]})
