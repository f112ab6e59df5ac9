"""A linear recurrence over all steps at once: s(t) = A(t) s(t-1) + b(t), element by element, by doubling.

After k rounds A(t) and s(t) hold what 2ᵏ steps do together (Hillis and Steele 1986, Data parallel algorithms), so T
steps take log₂ T rounds over arrays of T steps. States that only keep earlier values (QRNN's inputs) are shifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from ._algebra import Algebra, Poly
from ._graph import Cell, Stage
from ._scope import ZERO, Array, Scope, Value
from ._sequence import Sequence

_MOST = 3
"""States that depend on each other."""


@dataclass
class Group:
    """States whose sequences are found together, once those of the groups before are known."""

    states: list[int]
    matrix: list[list[Poly]]
    """Of how each depends on each; empty for a delay."""
    algebra: Algebra


def groups(cell: Cell, constants: dict[int, Any]) -> list[Group] | None:
    """In which order the states of a cell can be found, or None if its recurrence is not linear."""
    if not cell.states or any(len(cell.nodes[before].shape) != 1 for _, before, _ in cell.states):
        return None
    algebra = Algebra(cell, constants)
    left = list(range(len(cell.states)))
    found: list[Group] = []
    while left:
        tries = [[number] for number in left] + ([left] if 1 < len(left) <= _MOST else [])
        group = next((made for some in tries if (made := _group(algebra, some, set(left))) is not None), None)
        if group is None:
            return None
        found.append(group)
        left = [number for number in left if number not in group.states]
    return found


def _group(algebra: Algebra, states: list[int], left: set[int]) -> Group | None:
    cell = algebra.cell
    afters = [cell.states[number][2] for number in states]
    if len(states) == 1 and not (cell.states_of(afters[0]) & left):
        return Group(states, [], algebra)
    widths = {cell.nodes[after].shape for after in afters}
    if len(widths) != 1:
        return None
    own: dict[int, int] = {}
    for place, number in enumerate(states):
        [(atom,)] = algebra.poly(cell.states[number][1])
        own[atom] = place
    matrix: list[list[Poly]] = []
    for after in afters:
        row: list[Poly] = [{} for _ in states]
        for monomial, coefficient in algebra.poly(after).items():
            moving = [atom for atom in monomial if algebra.atoms[atom].states & left]
            if not moving:
                continue
            if len(moving) > 1 or moving[0] not in own:
                return None
            rest = tuple(atom for atom in monomial if atom != moving[0])
            if any(algebra.atoms[atom].kind == "linear" for atom in rest):
                return None
            row[own[moving[0]]][rest] = coefficient
        matrix.append(row)
    return Group(states, matrix, algebra)


def write(
    sequence: Sequence,
    stage: Stage,
    constants: dict[int, Array],
    states: list[str],
    found: list[Group],
    *,
    reverse: bool,
) -> tuple[str, list[str]]:
    """Writes a stage. `states` (B, width) are those before; returns y (T, B, width) and the states after."""
    source = sequence.with_x(sequence.flipped(sequence.x)) if reverse else sequence
    scope = source.scope(stage, constants)
    finals = list(states)
    for group in found:
        if not group.matrix:
            _delay(source, scope, states, finals, group.states[0])
        else:
            _linear(source, scope, stage, constants, states, finals, group)
    scope.compute_to(stage.cell.output)
    y = scope.whole(stage.cell.output)
    return (sequence.flipped(y) if reverse else y), finals


def _first(sequence: Sequence, state: str, steps: str) -> str:
    """A state before the first step, then the sequence of those after steps."""
    writer = sequence.writer
    return str(writer.op("Concat", writer.op("Unsqueeze", state, writer.ints(0)), steps, axis=0))


def _shift(sequence: Sequence, state: str, steps: str) -> str:
    """What a state is before each step."""
    writer = sequence.writer
    return str(writer.op("Slice", _first(sequence, state, steps), writer.ints(0), writer.ints(-1), writer.ints(0)))


def _delay(source: Sequence, scope: Scope, states: list[str], finals: list[str], number: int) -> None:
    """A state that keeps a value for a step."""
    _, before, after = scope.cell.states[number]
    scope.compute_to(after)
    steps = scope.whole(after)
    scope.values[before] = Value(_shift(source, states[number], steps), 2)
    finals[number] = last(source, _first(source, states[number], steps), scope.cell.nodes[before].shape[0])


def last(source: Sequence, steps: str, width: int) -> str:
    """The value after each row's last valid step, of T + 1 values of which the first is that before all steps."""
    writer = source.writer
    if source.lengths is None:
        return str(writer.op("Gather", steps, writer.integer(-1), axis=0))
    index = writer.op("Unsqueeze", source.lengths, writer.ints(0, 2))
    shape = writer.op("Concat", writer.ints(1), source.rows(), writer.ints(width), axis=0)
    here = writer.op("GatherElements", steps, writer.op("Expand", index, shape), axis=0)
    return str(writer.op("Squeeze", here, writer.ints(0)))


def _linear(
    source: Sequence,
    scope: Scope,
    stage: Stage,
    constants: dict[int, Array],
    states: list[str],
    finals: list[str],
    group: Group,
) -> None:
    cell, writer = scope.cell, source.writer
    places = range(len(group.states))
    shape = cell.nodes[cell.states[group.states[0]][1]].shape
    # b: the new states of states that are zero.
    zeros = source.scope(stage, constants)
    zeros.values |= scope.values
    for number in group.states:
        zeros.values[cell.states[number][1]] = ZERO
    afters = [cell.states[number][2] for number in group.states]
    zeros.compute_to(*afters)
    made = [zeros.values.get(after) for after in afters]
    drive = [
        scope.full(scope.constant(np.zeros(shape)), shape, 2) if value is ZERO else zeros.whole(after)
        for value, after in zip(made, afters, strict=True)
    ]
    matrix = {
        (i, j): _coefficient(scope, group, poly)
        for i, row in enumerate(group.matrix)
        for j, poly in enumerate(row)
        if poly
    }
    if source.lengths is not None:
        # Beyond a row's end the states stay.
        drive = [writer.op("Where", source.valid, each, writer.number(0.0)) for each in drive]
        for i, j in {*matrix, *((i, i) for i in places)}:
            entry = matrix.get((i, j), writer.number(0.0))
            matrix[i, j] = writer.op("Where", source.valid, entry, writer.number(float(i == j)))
    matrix = {entry: scope.full(Value(matrix[entry], 2, thin=True), shape, 2) for entry in sorted(matrix)}
    # The state before enters at the first step.
    begin, end, axis = writer.ints(0), writer.ints(1), writer.ints(0)
    rest = writer.ints(np.iinfo(np.int64).max)
    for i in places:
        first = writer.op("Slice", drive[i], begin, end, axis)
        for j in (j for j in places if (i, j) in matrix):
            entry = writer.op("Slice", matrix[i, j], begin, end, axis)
            before = writer.op("Unsqueeze", states[group.states[j]], writer.ints(0))
            first = writer.op("Add", first, writer.op("Mul", entry, before))
        drive[i] = writer.op("Concat", first, writer.op("Slice", drive[i], end, rest, axis), axis=0)
    results = _doubling(source, drive, _closed(matrix, scope.full(scope.constant(np.zeros(shape)), shape, 2)))
    for number, after, steps in zip(group.states, afters, results, strict=True):
        scope.values[after] = Value(steps, 2)
        scope.values[cell.states[number][1]] = Value(_shift(source, states[number], steps), 2)
        finals[number] = str(writer.op("Gather", steps, writer.integer(-1), axis=0))


def _closed(matrix: dict[tuple[int, int], str], zeros: str) -> dict[tuple[int, int], str]:
    """The entries that products of the matrix have, those that it lacks as zeros."""
    entries = set(matrix)
    while more := {(i, j) for i, k in entries for m, j in entries if k == m} - entries:
        entries |= more
    return {entry: matrix.get(entry, zeros) for entry in sorted(entries)}


def _coefficient(scope: Scope, group: Group, poly: Poly) -> str:
    """A(t) of one state upon another."""
    writer, atoms = scope.writer, group.algebra.atoms
    total: Any = None
    for monomial, number in poly.items():
        term: Any = None if monomial and number.ndim == 0 and number == 1 else writer.floats(number)
        for atom in (atoms[place] for place in monomial):
            scope.compute_to(atom.node)
            value = scope[atom.node].name
            if (atom.start, atom.stop) != (0, scope.cell.nodes[atom.node].shape[0]):
                value = scope.whole(atom.node)
                value = writer.op("Slice", value, *(writer.ints(n) for n in (atom.start, atom.stop, -1)))
            term = value if term is None else writer.op("Mul", term, value)
        total = term if total is None else writer.op("Add", total, term)
    return str(total)


def _doubling(source: Sequence, drive: list[str], matrix: dict[tuple[int, int], str]) -> list[str]:
    """s(t) = A(t) s(t-1) + b(t) from s = 0."""
    writer = source.writer
    body = writer.body()
    places = range(len(drive))
    names = [body.name("drive") for _ in drive]
    inside = {entry: body.name("transfer") for entry in matrix}
    count, going, reach = body.name("round"), body.name("going"), body.name("reach")
    zero_step, infinite, back = body.ints(0), body.ints(np.iinfo(np.int64).max), body.op("Neg", reach)

    def steps_of(start: str, stop: str) -> dict[str, str]:
        return {name: body.op("Slice", name, start, stop, body.ints(0)) for name in [*names, *inside.values()]}

    head, late, early = steps_of(zero_step, reach), steps_of(reach, infinite), steps_of(zero_step, back)

    def summed(terms: list[tuple[str, str]], start: str | None = None) -> str:
        total: Any = start
        for a, b in terms:
            product = body.op("Mul", late[a], early[b])
            total = product if total is None else body.op("Add", total, product)
        return str(total)

    results = []
    for i in places:
        terms = [(inside[i, j], names[j]) for j in places if (i, j) in inside]
        results.append(body.op("Concat", head[names[i]], summed(terms, late[names[i]]), axis=0))
    for i, j in inside:
        terms = [(inside[i, k], inside[k, j]) for k in places if (i, k) in inside and (k, j) in inside]
        # An entry that no product has is that of a single step alone.
        total = summed(terms) if terms else body.op("Mul", late[inside[i, j]], body.number(0.0))
        results.append(body.op("Concat", head[inside[i, j]], total, axis=0))
    doubled = body.op("Add", reach, reach)
    steps = writer.op("Shape", source.x, start=0, end=1)
    more_rounds = body.op("Squeeze", body.op("Less", doubled, steps))
    outs = body.distinct([more_rounds, doubled, *results])

    def info(name: str) -> Any:
        return helper.make_tensor_value_info(name, writer.elem_type, None)

    graph = body.graph(
        "doubling",
        [
            helper.make_tensor_value_info(count, TensorProto.INT64, []),
            helper.make_tensor_value_info(going, TensorProto.BOOL, []),
            helper.make_tensor_value_info(reach, TensorProto.INT64, [1]),
            *map(info, [*names, *inside.values()]),
        ],
        [
            helper.make_tensor_value_info(outs[0], TensorProto.BOOL, []),
            helper.make_tensor_value_info(outs[1], TensorProto.INT64, [1]),
            *map(info, outs[2:]),
        ],
    )
    one = writer.ints(1)
    begin = writer.op("Squeeze", writer.op("Less", one, steps))
    made = writer.op("Loop", "", begin, one, *drive, *matrix.values(), outputs=1 + len(drive) + len(matrix), body=graph)
    return list(made[1 : 1 + len(drive)])
