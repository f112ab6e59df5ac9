"""rnnrs, through its public Python surface."""

from __future__ import annotations

from typing import Any

import numpy as np

import rnnrs

from ..problem import Array, Contender, Problem

VERSION = rnnrs.__version__


def setup(threads: int) -> None:
    rnnrs.set_num_threads(threads)


def _layer(problem: Problem, **options: Any) -> rnnrs.LSTM:
    layer = rnnrs.LSTM(problem.inputs, problem.hidden, seed=0, **options)
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
