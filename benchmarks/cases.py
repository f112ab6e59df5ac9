"""The table of cases: what is measured, against whom, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass

from .problem import Problem


@dataclass(frozen=True)
class Case:
    """`ours` and `kind` name functions of the peers' files; `threads` 0 stands for all processors."""

    name: str
    about: str
    kind: str
    problem: Problem
    peers: tuple[str, ...]
    threads: tuple[int, ...] = (1, 0)
    ours: str | None = None
    goals: tuple[tuple[str, float], ...] = ()

    @property
    def our_kind(self) -> str:
        return self.ours or self.kind


_SHORT = Problem(inputs=128, hidden=128, batch=32, steps=100)
_LONG = Problem(inputs=1, hidden=64, batch=64, steps=1000)
_PEEPHOLE = Problem(inputs=128, hidden=128, batch=32, steps=100, cell="peephole")
_INDRNN = Problem(inputs=2, hidden=128, batch=32, steps=5000, cell="indrnn", layers=2)
_STREAM = Problem(inputs=32, hidden=32, batch=1, steps=1000)

CASES = (
    Case(
        "train",
        "training: forward and backward with the gradients of inputs and parameters",
        "train",
        _SHORT,
        ("torch", "jax"),
        goals=(("torch", 1.0),),
    ),
    Case(
        "train-long",
        "training over a thousand steps",
        "train",
        _LONG,
        ("torch", "jax"),
        goals=(("torch", 2.5),),
    ),
    Case(
        "peephole",
        "training with peepholes, against rnnrs without them",
        "train",
        _SHORT,
        ("rnnrs",),
        ours="train_peephole",
        goals=(("rnnrs", 1 / 1.2),),
    ),
    Case(
        "peephole-loop",
        "training with peepholes, against loops over time written by hand",
        "train_loop",
        _PEEPHOLE,
        ("torch", "jax"),
        ours="train",
        goals=(("torch", 3.0),),
    ),
    Case(
        "indrnn",
        "training two layers of IndRNN over five thousand steps, against loops over time written by hand",
        "train_loop",
        _INDRNN,
        ("torch", "jax"),
        ours="train",
        goals=(("torch", 5.0), ("jax", 1.0)),
    ),
    Case(
        "own-cell",
        "training an LSTM written by a user in Python, against rnnrs's own",
        "train",
        _SHORT,
        ("rnnrs",),
        ours="train_own",
        goals=(("rnnrs", 1 / 1.05),),
    ),
    Case("forward", "forward only", "forward", _SHORT, ("torch", "onnxruntime", "jax")),
    Case("forward-long", "forward only, over a thousand steps", "forward", _LONG, ("torch", "onnxruntime", "jax")),
    Case(
        "stream",
        "a thousand steps, one call from Python each; the time is for all of them",
        "stream",
        _STREAM,
        ("torch", "onnxruntime", "jax"),
        threads=(1,),
        goals=(("onnxruntime", 10.0),),
    ),
)
