"""Which form of ONNX each stage takes, and why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rnnrs import InvalidValueError

from . import _operators, _parallel
from ._graph import Stage
from ._recognise import Operator, recognise
from ._scope import Array, fold

TARGETS = ("cpu", "cuda", "web")
SCANS = ("auto", "loop", "parallel")


@dataclass
class Choice:
    """How a stage is written."""

    stage: Stage
    form: str
    """``"RNN"``, ``"GRU"``, ``"LSTM"``, ``"Scan"``, ``"parallel"``, ``"step"``, or ``"pointwise"``."""
    why: str
    operator: Operator | None = None
    groups: list[_parallel.Group] | None = None

    @cached_property
    def constants(self) -> dict[int, Array]:
        """What depends on parameters alone."""
        return fold(self.stage.cell)


def choose(stage: Stage, *, target: str, dtype: str, scan: str) -> Choice:
    """The form that runs best on a target: "cpu", "cuda" or "web"."""
    if not stage.cell.states:
        return Choice(stage, "pointwise", "no recurrence: all steps at once")
    choice = Choice(stage, "Scan", "")
    operator = recognise(stage.cell, choice.constants)
    if operator is not None:
        refused = _operators.refusal(operator, target, dtype)
        if refused is None and scan != "parallel":
            choice.form, choice.operator = operator.kind, operator
            choice.why = f"its equations are those of ONNX's {operator.kind}"
            return choice
        choice.why = f"it is ONNX's {operator.kind}, but {refused}"
    found = _parallel.groups(stage.cell, choice.constants)
    if found is None:
        if scan == "parallel":
            raise InvalidValueError(
                f"scan: expected 'loop' or 'auto' for '{stage.cell.name}', whose recurrence is not linear, "
                "got 'parallel'"
            )
        choice.why = choice.why or "no operator of ONNX has its equations"
        return choice
    delays = all(not group.matrix for group in found)
    if scan == "parallel" or (scan == "auto" and (target == "cuda" or delays)):
        choice.form, choice.groups = "parallel", found
        choice.why = "its recurrence is linear: all steps at once, by doubling"
    else:
        choice.why = "its recurrence is linear, but on this target a loop is faster"
        if scan == "loop":
            choice.why = "a loop was asked for"
    return choice
