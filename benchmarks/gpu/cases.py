"""The table of what is timed on a GPU: one cell for each form that an exported recurrence takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import rnnrs

from ..problem import Problem


@dataclass(frozen=True)
class Case:
    """A layer, how it is exported, the operator that this gives, and the function of with_torch.py beside it."""

    name: str
    operator: str
    layer: Callable[[Problem], rnnrs.Recurrent]
    problem: Problem
    torch: str
    scan: str = "auto"

    def sized(self, batch: int, steps: int, hidden: int) -> Case:
        """The same at another size."""
        return replace(self, problem=replace(self.problem, inputs=hidden, hidden=hidden, batch=batch, steps=steps))


def _lstm(problem: Problem) -> rnnrs.Recurrent:
    return rnnrs.LSTM(problem.inputs, problem.hidden, seed=0, peephole=problem.cell == "peephole")


def _gru(problem: Problem) -> rnnrs.Recurrent:
    return rnnrs.GRU(problem.inputs, problem.hidden, seed=0)


def _min_gru(problem: Problem) -> rnnrs.Recurrent:
    return rnnrs.Recurrent(rnnrs.cells.MinGRU(problem.inputs, problem.hidden), seed=0)


def _problem(cell: str) -> Problem:
    return Problem(inputs=128, hidden=128, batch=32, steps=100, cell=cell)


_KINDS = (
    Case("LSTM", "LSTM", _lstm, _problem("lstm"), "lstm"),
    Case("GRU", "GRU", _gru, _problem("gru"), "gru"),
    Case("LSTM with peepholes", "Scan", _lstm, _problem("peephole"), "peephole_loop"),
    Case("MinGRU", "parallel", _min_gru, _problem("min_gru"), "min_gru_loop", scan="parallel"),
    Case("MinGRU, a loop", "Scan", _min_gru, _problem("min_gru"), "min_gru_loop", scan="loop"),
)
SIZES = ((1, 100, 128), (32, 100, 128), (64, 1000, 512))
"""(rows, steps, hidden size), the last also that of the input"""
CASES = tuple(case.sized(*size) for size in SIZES for case in _KINDS)
QUICK = tuple(case.sized(2, 8, 16) for case in _KINDS)
"""Small enough for the tests."""
