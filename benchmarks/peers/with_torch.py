"""PyTorch: its own layers, eager, as its manual writes it; cells that it lacks as loops over time."""

from __future__ import annotations

import torch
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..problem import Array, Contender, Problem

VERSION = torch.__version__
State = tuple[torch.Tensor, ...]


def setup(threads: int) -> None:
    torch.set_num_threads(threads)


def _layer(problem: Problem, dtype: torch.dtype = torch.float32) -> torch.nn.RNNBase:
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[problem.cell]
    layer: torch.nn.RNNBase = kind(problem.inputs, problem.hidden, problem.layers)
    layer.load_state_dict({name: torch.from_numpy(value) for name, value in problem.weights.items()})
    return layer.to(dtype)


def _gradients(parameters: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> dict[str, Array]:
    grads = {name: p.grad.float().numpy() for name, p in parameters.items() if p.grad is not None}
    assert x.grad is not None
    return {"y": y.detach().float().numpy(), "dx": x.grad.float().numpy(), **grads}


def train_bfloat16(problem: Problem) -> Contender:
    """With everything in bfloat16."""
    return train(problem, torch.bfloat16)


def forward_bfloat16(problem: Problem) -> Contender:
    """With everything in bfloat16."""
    return forward(problem, torch.bfloat16)


def train(problem: Problem, dtype: torch.dtype = torch.float32) -> Contender:
    layer, last = _layer(problem, dtype), {}
    x, dy = torch.from_numpy(problem.x).to(dtype).requires_grad_(), torch.from_numpy(problem.dy).to(dtype)
    lengths = None if problem.lengths is None else torch.from_numpy(problem.lengths)

    def run() -> None:
        layer.zero_grad(set_to_none=True)
        x.grad = None
        if lengths is None:
            y, _ = layer(x)
        else:
            y, _ = pad_packed_sequence(layer(pack_padded_sequence(x, lengths, enforce_sorted=False))[0])
        y.backward(dy)
        last["y"] = y

    return Contender(run, lambda: _gradients(dict(layer.named_parameters()), x, last["y"]))


def step(problem: Problem, w: dict[str, torch.Tensor], end: str, x: torch.Tensor, state: State) -> State:
    """One step of layer `end`; the first of the new states is the output."""
    h = state[0]
    if problem.cell == "indrnn":
        return (torch.relu(torch.addcmul(linear(x, w[f"weight_ih{end}"], w[f"bias{end}"]), w[f"weight_hh{end}"], h)),)
    if problem.cell == "mgu":
        z_f, z_n = linear(x, w[f"weight_ih{end}"], w[f"bias{end}"]).chunk(2, -1)
        w_f, w_n = w[f"weight_hh{end}"].chunk(2)
        f = torch.sigmoid(z_f + linear(h, w_f))
        return (torch.lerp(h, torch.tanh(z_n + linear(f * h, w_n)), f),)
    return peephole_step(w, end, x, state)


def peephole_step(w: dict[str, torch.Tensor], end: str, x: torch.Tensor, state: State) -> State:
    """One step of an LSTM whose gates see its cell."""
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
            state: State = (zeros,) * problem.states
            outputs = []
            for x_t in y.unbind(0):
                state = step(problem, w, end, x_t, state)
                outputs.append(state[0])
            y = torch.stack(outputs)
        y.backward(dy)
        last["y"] = y

    return Contender(run, lambda: _gradients(w, x, last["y"]))


def forward(problem: Problem, dtype: torch.dtype = torch.float32) -> Contender:
    layer, last = _layer(problem, dtype).eval(), {}
    x = torch.from_numpy(problem.x).to(dtype)

    def run() -> None:
        with torch.inference_mode():
            last["y"], last["states"] = layer(x)

    def results() -> dict[str, Array]:
        states = last["states"] if problem.states > 1 else (last["states"],)
        return {
            "y": last["y"].float().numpy(),
            **{f"state{k}": state[0].float().numpy() for k, state in enumerate(states)},
        }

    return Contender(run, results)


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
