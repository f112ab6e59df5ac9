"""Any recurrence as a Scan: what depends on no state is computed before it, for all steps, and what feeds none after.

The body holds what lies between, as the plan of the engine has it; elementwise nodes that need not be in the body are
not, since each node of a body costs its call at every step.
"""

from __future__ import annotations

import onnx
from onnx import helper

from ._graph import Stage
from ._scope import Array, Merged, Part, Scope, Value
from ._sequence import Sequence
from ._writer import INT64


def write(
    sequence: Sequence, stage: Stage, constants: dict[int, Array], states: list[str], *, reverse: bool
) -> tuple[str, list[str]]:
    """Writes a stage. `states` (B, width) are those before; returns y (T, B, width) and the states after."""
    cell, writer = stage.cell, sequence.writer
    # Random numbers come in the order in which a direction reads.
    flip = reverse and (sequence.lengths is not None or cell.random)
    source = sequence.with_x(sequence.flipped(sequence.x)) if flip else sequence
    outer = source.scope(stage, constants)
    stateful, feeds = cell.stateful, cell.feeds
    needed = [index for index in cell.needed if cell.varies[index]]
    inside = [index for index in needed if stateful[index] and feeds[index]]
    outer.compute(index for index in needed if not stateful[index])

    body = writer.body()
    inner = Scope(body, cell, constants, 1, source.rows)
    imports = _Imports(outer, inner)
    for _, before, _ in cell.states:
        inner.values[before] = Value(body.name("state"), 1)
    ends = [after for _, _, after in cell.states]
    read = {arg for index in inside for arg in cell.nodes[index].args} | set(ends)
    for needed_inside in sorted(read):
        if cell.varies[needed_inside] and not stateful[needed_inside]:
            imports.bring(needed_inside)
    inner.compute(inside)

    behind = [index for index in needed if stateful[index] and not feeds[index]]
    taken = sorted(
        index
        for index in {arg for index in behind for arg in cell.nodes[index].args} | {cell.output}
        if stateful[index] and feeds[index]
    )
    alive = None
    if source.lengths is not None:
        now = imports.time(source)
        alive = body.op("Unsqueeze", body.op("Less", now, source.lengths), body.ints(1))
    shapes = [cell.nodes[before].shape for _, before, _ in cell.states]
    nexts = []
    for (_, before, after), shape in zip(cell.states, shapes, strict=True):
        value = inner.whole(after)
        if alive is not None:
            mask = body.op("Reshape", alive, body.ints(0, *[1] * len(shape))) if len(shape) != 1 else alive
            value = body.op("Where", mask, value, inner[before].name)
        nexts.append(value)
    ends_of_body = body.distinct([*nexts, *(inner.whole(index) for index in taken)])
    nexts, outputs = ends_of_body[: len(nexts)], ends_of_body[len(nexts) :]
    if not imports.given:
        imports.time(source)

    def info(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, writer.elem_type, ["batch", *shape])

    befores = [inner.values[before] for _, before, _ in cell.states]
    graph = body.graph(
        cell.name,
        [info(v.name, s) for v, s in zip(befores, shapes, strict=True) if isinstance(v, Value)]
        + [given.info for given in imports.given],
        [info(name, shape) for name, shape in zip(nexts, shapes, strict=True)]
        + [info(name, cell.nodes[index].shape) for name, index in zip(outputs, taken, strict=True)],
    )
    entering = [source.shaped(state, cell, before) for state, (_, before, _) in zip(states, cell.states, strict=True)]
    backwards = int(reverse and not flip)
    results = writer.op(
        "Scan",
        *entering,
        *(given.outer for given in imports.given),
        outputs=len(nexts) + len(outputs),
        body=graph,
        num_scan_inputs=len(imports.given),
        scan_input_directions=[backwards] * len(imports.given),
        scan_output_directions=[backwards] * len(outputs),
    )
    made = [results] if isinstance(results, str) else list(results)
    finals = [
        source.vector(value, cell, before, 1)
        for value, (_, before, _) in zip(made[: len(nexts)], cell.states, strict=True)
    ]
    for index, name in zip(taken, made[len(nexts) :], strict=True):
        outer.values[index] = Value(name, 2)
    outer.compute(behind)
    y = outer.whole(cell.output)
    return (sequence.flipped(y) if flip else y), finals


class _Given:
    """What a step is given of a value of all steps."""

    def __init__(self, outer: str, info: onnx.ValueInfoProto) -> None:
        self.outer = outer
        self.info = info


class _Imports:
    """Values from before the loop in its body."""

    def __init__(self, outer: Scope, inner: Scope) -> None:
        self._outer = outer
        self._inner = inner
        self._merged: dict[Merged, Merged] = {}
        self.given: list[_Given] = []

    def bring(self, index: int) -> None:
        """Makes a node's value known in the body."""
        value = self._outer.values[index]
        if isinstance(value, Part):
            # Values that lie side by side come together.
            if value.merged not in self._merged:
                widths = value.merged.widths
                name = self._step(value.merged.value.name, (sum(widths),))
                self._merged[value.merged] = Merged(Value(name, 1), widths)
            self._inner.values[index] = Part(self._merged[value.merged], value.place)
        else:
            cell = self._outer.cell
            name = self._step(self._outer.whole(index), cell.nodes[index].shape, integer=cell.integer(index))
            self._inner.values[index] = Value(name, 1)

    def time(self, sequence: Sequence) -> str:
        """The step's number."""
        name = self._inner.writer.name("time")
        self.given.append(_Given(sequence.time, helper.make_tensor_value_info(name, INT64, [])))
        return name

    def _step(self, outer: str, shape: tuple[int, ...], *, integer: bool = False) -> str:
        name = self._inner.writer.name("step_input")
        kind = INT64 if integer else self._inner.writer.elem_type
        self.given.append(_Given(outer, helper.make_tensor_value_info(name, kind, ["batch", *shape])))
        return name
