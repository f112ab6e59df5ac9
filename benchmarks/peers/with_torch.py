"""PyTorch: torch.nn.LSTM, eager, as its manual writes it; cells that it lacks as loops over time."""

from __future__ import annotations

import torch
from torch.nn.functional import linear

from ..problem import Array, Contender, Problem

VERSION = torch.__version__
State = tuple[torch.Tensor, ...]


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


def step(w: dict[str, torch.Tensor], end: str, x: torch.Tensor, state: State) -> State:
    """One step of layer `end`; the first of the new states is the output."""
    if f"weight_p_i{end}" not in w:
        z = linear(x, w[f"weight_ih{end}"], w[f"bias{end}"])
        return (torch.relu(torch.addcmul(z, w[f"weight_hh{end}"], state[0])),)
    h, c = state
    z = linear(x, w[f"weight_ih{end}"], w[f"bias_ih{end}"]) + linear(h, w[f"weight_hh{end}"], w[f"bias_hh{end}"])
    i, f, g, o = z.chunk(4, -1)
    i, f = (torch.sigmoid(z + w[f"weight_p_{gate}{end}"] * c) for z, gate in ((i, "i"), (f, "f")))
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + w[f"weight_p_o{end}"] * c) * torch.tanh(c), c


def train_loop(problem: Problem) -> Contender:
    """A loop over time as one writes it, under autograd."""
    w = {name: torch.from_numpy(value).requires_grad_() for name, value in problem.weights.items()}
    x, dy, last = torch.from_numpy(problem.x).requires_grad_(), torch.from_numpy(problem.dy), {}
    zeros = torch.zeros(problem.batch, problem.hidden)

    def run() -> None:
        for value in (x, *w.values()):
            value.grad = None
        y = x
        for layer in range(problem.layers):
            end = f"_l{layer}"
            state: State = (zeros,) * (1 if problem.cell == "indrnn" else 2)
            outputs = []
            for x_t in y.unbind(0):
                state = step(w, end, x_t, state)
                outputs.append(state[0])
            y = torch.stack(outputs)
        y.backward(dy)
        last["y"] = y

    def results() -> dict[str, Array]:
        grads = {name: value.grad.numpy() for name, value in w.items() if value.grad is not None}
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
