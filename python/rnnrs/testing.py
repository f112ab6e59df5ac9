"""Tests for a cell of one's own: ``check_cell`` tries the laws that every cell of rnnrs obeys."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from . import _laws, _numbers
from ._core import DtypeError
from ._definition import Definition
from ._laws import Draw, LawBroken, Reference

__all__ = ["LawBroken", "LawResult", "Report", "check_cell"]


class LawResult(NamedTuple):
    """What became of one law."""

    number: int
    law: str
    cases: int
    """How many were tried."""
    deviation: float
    """The worst: 0 for laws that hold to the bit."""
    note: str
    """``"passed"``, or why it was left out, or what is broken."""

    @property
    def passed(self) -> bool:
        """Whether every case passed, of which there were some."""
        return self.note == "passed"


class Report(NamedTuple):
    """The laws and what became of them; ``str()`` gives a table."""

    cell: str
    results: list[LawResult]

    def __str__(self) -> str:
        width = max(len(result.law) for result in self.results)
        lines = [self.cell, f"law  {'':{width}}  cases  worst deviation"]
        for result in self.results:
            shown = f"{result.deviation:.2g}" if result.passed else "-"
            lines.append(f"{result.number:3}  {result.law:{width}}  {result.cases:5}  {shown:15}  {result.note}")
        return "\n".join(lines)


def check_cell(
    cell: Definition,
    reference: Reference | None = None,
    *,
    cases: int = 6,
    gradients: bool = True,
    inputs: Draw | None = None,
    states: Draw | None = None,
    seed: int = 0,
    simd: bool = True,
    verbose: bool = True,
) -> Report:
    """Tries the laws on a cell, each with several sizes and random numbers, and prints a table.

    1. gradients equal central differences (float64, relative 1e-6, absolute 1e-8), in training and out of it
    2. y and the states equal those of ``reference`` to 1e-10, where there is one
    3. a sequence equals its steps one by one, and its chunks, to the bit
    4. a row alone, 1 to 3 threads, each SIMD path of the processor: to the bit
    5. rows padded (with NaN) equal the rows alone, to the bit
    6. two directions equal a forward and a flipped pass, to the bit
    7. checkpoints change no bit
    8. a file gives the same bits; cut or changed it is refused
    10. float32 agrees with float64 to 2^-15

    Args:
        cell: a ``rnnrs.Cell`` or one of ``rnnrs.cells``.
        reference: one step in NumPy, ``reference(params, x, *states) -> (y, new state, ...)``, with the parameters by
            name, x (B, F), the states (B, width) flat, y (B, width).
        cases: how many for each law.
        gradients: False leaves law 1 out, for a cell that means its gradients to be others (``ops.stop``). A cell with
            ``ops.step`` leaves it out by itself.
        inputs: draws x: ``inputs(rng, shape)``; standard normal when None.
        states: draws each initial state: ``states(rng, shape)``; half of that when None.
        seed: of the cases.
        simd: also try each SIMD path of the processor (in law 4), which takes a process for each.
        verbose: print the table.

    Raises:
        LawBroken: with the table and what is broken; it is an AssertionError.

    >>> import rnnrs
    >>> from rnnrs.testing import check_cell
    >>> report = check_cell(rnnrs.cells.Elman(2, 3), cases=1, simd=False, verbose=False)
    >>> [result.number for result in report.results if result.passed]
    [1, 3, 4, 5, 6, 7, 8, 10]
    """
    if not isinstance(cell, Definition):
        raise DtypeError(f"cell: expected one of rnnrs.cells or a rnnrs.Cell, got {type(cell).__name__}")
    count = _numbers.count(cases, "cases")
    primitives = {node.get("primitive") for node in json.loads(cell._graph())["nodes"]}
    left_out = {}
    if not gradients:
        left_out[1] = "left out: gradients=False"
    elif "step" in primitives:
        left_out[1] = "left out: ops.step has a surrogate gradient"
    if reference is None:
        left_out[2] = "left out: no reference"
    results = []
    for number, (law, tried) in _laws.LAWS.items():
        if number in left_out:
            results.append(LawResult(number, law, 0, 0.0, left_out[number]))
            continue
        worst, note, done = 0.0, "passed", 0
        for k in range(count):
            case = _laws.Case(cell, seed + k, inputs or _normal, states or _half, reference, simd and k == 0)
            try:
                worst = max(worst, tried(case))
            except LawBroken as broken:
                note = f"BROKEN: {broken}"
                break
            done += 1
        results.append(LawResult(number, law, done, worst, note))
    report = Report(repr(cell), results)
    if any(result.note.startswith("BROKEN") for result in results):
        raise LawBroken(str(report))
    if verbose:
        print(report)
    return report


def _normal(rng: Any, shape: tuple[int, ...]) -> Any:
    return rng.normal(size=shape)


def _half(rng: Any, shape: tuple[int, ...]) -> Any:
    return 0.5 * rng.normal(size=shape)
