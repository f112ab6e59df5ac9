"""PyTorch: torch.nn.LSTM, eager, as its manual writes it."""

from __future__ import annotations

import torch

from ..problem import Array, Contender, Problem

VERSION = torch.__version__


def setup(threads: int) -> None:
    torch.set_num_threads(threads)


def _layer(problem: Problem) -> torch.nn.LSTM:
    layer = torch.nn.LSTM(problem.inputs, problem.hidden)
    layer.load_state_dict({name: torch.from_numpy(value) for name, value in problem.weights.items()})
    return layer


def train(problem: Problem) -> Contender:
    layer, last = _layer(problem), {}
    x, dy = torch.from_numpy(problem.x).requires_grad_(), torch.from_numpy(problem.dy)

    def run() -> None:
        layer.zero_grad(set_to_none=True)
        x.grad = None
        y, _ = layer(x)
        y.backward(dy)
        last["y"] = y

    def results() -> dict[str, Array]:
        grads = {name: p.grad.numpy() for name, p in layer.named_parameters() if p.grad is not None}
        assert x.grad is not None
        return {"y": last["y"].detach().numpy(), "dx": x.grad.numpy(), **grads}

    return Contender(run, results)


def forward(problem: Problem) -> Contender:
    layer, last = _layer(problem).eval(), {}
    x = torch.from_numpy(problem.x)

    def run() -> None:
        with torch.inference_mode():
            last["y"], (last["h"], last["c"]) = layer(x)

    return Contender(run, lambda: {"y": last["y"].numpy(), "h": last["h"][0].numpy(), "c": last["c"][0].numpy()})


def stream(problem: Problem) -> Contender:
    layer, last = _layer(problem).eval(), {}
    steps = list(torch.from_numpy(problem.x))

    def run() -> None:
        state = None
        with torch.inference_mode():
            for x in steps:
                y, state = layer(x, state)
        last["y"] = y

    return Contender(run, lambda: {"y": last["y"][0].numpy()})
