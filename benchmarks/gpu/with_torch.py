"""The same layers in PyTorch: its own LSTM and GRU, which are cuDNN's on a GPU, and loops over time for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn.functional import linear

from ..peers.with_torch import peephole_step
from ..problem import Array, Contender, Problem

VERSION = torch.__version__
Weights = dict[str, torch.Tensor]
# As for onnxruntime: float32 is float32.
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def forward(kind: str, problem: Problem, weights: dict[str, Array], device: str) -> Contender:
    """The function `kind` of this file as a contender on a device."""
    own = {name: torch.from_numpy(value).to(device) for name, value in weights.items()}
    x, last = torch.from_numpy(problem.x).to(device), {}
    with torch.inference_mode():
        network = {"lstm": lstm, "gru": gru, "peephole_loop": peephole_loop, "min_gru_loop": min_gru_loop}[kind](own)

    def run() -> None:
        with torch.inference_mode():
            last["y"] = network(x)
            if device == "cuda":
                torch.cuda.synchronize()

    return Contender(run, lambda: {"y": last["y"].cpu().numpy()})


Network = Callable[[torch.Tensor], torch.Tensor]


def lstm(weights: Weights) -> Network:
    return _layer(torch.nn.LSTM, weights)


def gru(weights: Weights) -> Network:
    return _layer(torch.nn.GRU, weights)


def _layer(kind: type[torch.nn.LSTM] | type[torch.nn.GRU], weights: Weights) -> Network:
    rows, hidden = weights["weight_hh_l0"].shape
    layer = kind(weights["weight_ih_l0"].shape[1], hidden).to(weights["weight_ih_l0"].device).eval()
    assert layer.weight_hh_l0.shape[0] == rows
    layer.load_state_dict(weights)
    return lambda x: layer(x)[0]


def peephole_loop(weights: Weights) -> Network:
    width = weights["weight_hh_l0"].shape[1]

    def run(x: torch.Tensor) -> torch.Tensor:
        state: tuple[torch.Tensor, ...] = (x.new_zeros(x.shape[1], width),) * 2
        made = []
        for x_t in x.unbind(0):
            state = peephole_step(weights, "_l0", x_t, state)
            made.append(state[0])
        return torch.stack(made)

    return run


def min_gru_loop(weights: Weights) -> Network:
    """MinGRU: h' = (1 - z) h + z n, where z and n see the input alone, so they come before the loop."""

    def run(x: torch.Tensor) -> torch.Tensor:
        z, n = linear(x, weights["weight_ih_l0"], weights["bias_l0"]).chunk(2, -1)
        z = torch.sigmoid(z)
        keep, new = 1 - z, z * n

        def steps() -> Iterator[torch.Tensor]:
            h = torch.zeros_like(new[0])
            for keep_t, new_t in zip(keep.unbind(0), new.unbind(0), strict=True):
                h = torch.addcmul(new_t, keep_t, h)
                yield h

        return torch.stack(list(steps()))

    return run
