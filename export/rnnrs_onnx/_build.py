"""A whole model as an ONNX graph, in one of its modes: over sequences, a step at a time, or generating."""

from __future__ import annotations

import json
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import rnnrs
from rnnrs import UnsupportedError, _core

from . import _operators, _parallel, _scan
from ._choose import Choice, choose
from ._graph import Block, read
from ._interface import Interface, Layout
from ._scope import Noise, Scope, Value
from ._sequence import Sequence
from ._writer import DOMAIN, INT64, OPSET, Writer

IR_VERSION = 9
"""That of opset 20."""


@dataclass(frozen=True)
class Options:
    """How a model is exported; see `rnnrs_onnx.export`."""

    mode: str = "sequence"
    target: str = "cpu"
    dtype: str = "float32"
    lengths: bool = False
    zero_state: bool = False
    noise: bool = False
    scan: str = "auto"
    sample: str = "random"
    quantised: bool = False
    """Whether the weights are to be int8; `dtype` is that of inputs and outputs."""


@dataclass
class Built:
    """The exported model and what is known of it."""

    proto: onnx.ModelProto
    choices: list[Choice]
    interface: Interface
    options: Options
    noises: dict[str, tuple[str, tuple[int, ...], bool]] = field(default_factory=dict)
    """Inputs of random numbers: (distribution, shape without leading axes, whether one a sequence)."""


def build(model: Any, options: Options) -> Built:
    """Writes a model."""
    return _Builder(model, options).build()


class _Builder:
    def __init__(self, model: Any, options: Options) -> None:
        self._options = options
        self._core: _core.Model = model._native
        self._metadata: dict[str, str] = model.metadata
        self._writer = Writer(options.dtype)
        self._layout = Layout.of(model)
        self._interface = Interface(self._core, self._layout)
        self._blocks = read(self._core, training=options.noise)
        self._noises: dict[str, tuple[str, tuple[int, ...], bool]] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        scan = options.scan if options.mode == "sequence" else "loop"
        dtype = "int8" if options.quantised else options.dtype
        self._choices = [
            [choose(stage, target=options.target, dtype=dtype, scan=scan) for stage in block.stages]
            for block in self._blocks
        ]

    def build(self) -> Built:
        {"sequence": self._sequence, "step": self._step, "loop": self._loop}[self._options.mode]()
        for name, (kind, shape, per_sequence) in self._noises.items():
            lead = ["time"] if self._options.mode == "sequence" and not per_sequence else []
            dtype = self._noise_dtype(kind)
            elem_type = helper.np_dtype_to_tensor_dtype(dtype)
            self._inputs.append(helper.make_tensor_value_info(name, elem_type, [*lead, "batch", *shape]))
        graph = self._writer.graph("rnnrs", self._inputs, self._outputs)
        functions = self._writer.functions()
        opsets = [helper.make_opsetid("", OPSET)]
        if functions:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        proto = helper.make_model(
            graph,
            producer_name="rnnrs",
            producer_version=rnnrs.__version__,
            opset_imports=opsets,
            functions=functions,
            ir_version=IR_VERSION,
        )
        helper.set_model_props(
            proto,
            {
                "rnnrs.version": rnnrs.__version__,
                "rnnrs.model": self._core.spec,
                "rnnrs.metadata": json.dumps(self._metadata, sort_keys=True),
                "rnnrs.export": json.dumps(self._options.__dict__, sort_keys=True),
            },
        )
        return Built(proto, [c for block in self._choices for c in block], self._interface, self._options, self._noises)

    # Modes

    def _sequence(self) -> None:
        x = self._input(["time", "batch"])
        lengths = None
        if self._options.lengths:
            lengths = "lengths"
            self._inputs.append(helper.make_tensor_value_info(lengths, INT64, ["batch"]))
        if self._layout.batch_first:
            x = self._writer.op("Transpose", x, perm=[1, 0] if self._interface.tokens else [1, 0, 2])
        sequence = Sequence(self._writer, x, lengths, self._noise_of)
        states = self._states(sequence.rows)
        y, finals, steps = self._over_time(sequence, states)
        if steps:
            if lengths is not None:
                y = self._writer.op("Where", sequence.valid, y, self._writer.number(0.0))
            if self._layout.batch_first:
                y = self._writer.op("Transpose", y, perm=[1, 0, 2])
        self._output("y", y, [*(self._layout.axes(["time", "batch"]) if steps else ["batch"]), self._interface.output])
        self._final_states(finals)

    def _step(self) -> None:
        x = self._input(["batch"])
        states = self._states(lambda: self._writer.op("Shape", x, start=0, end=1))
        y, finals = self._one_step(self._writer, x, states)
        self._output("y", y, ["batch", self._interface.output])
        self._final_states(finals)

    def _loop(self) -> None:
        writer, interface = self._writer, self._interface
        interface.generates()
        if self._options.noise:
            raise UnsupportedError("noise: expected mode 'sequence' or 'step', got 'loop'")
        x = self._input(["batch"], "start")
        self._inputs.append(helper.make_tensor_value_info("steps", INT64, []))
        random = interface.tokens and self._options.sample == "random"
        if random:
            self._inputs.append(self._info("temperature", []))
            noise = helper.make_tensor_value_info("noise.sample", self._sampling, ["steps", "batch"])
            self._inputs.append(noise)
        states = self._states(lambda: writer.op("Shape", x, start=0, end=1))
        body = writer.body()
        count, going, token = body.name("count"), body.name("going"), body.name("token")
        olds = [body.name("state") for _ in states]
        y, news = self._one_step(body, token, olds)
        made = self._sampled(body, y, count, random=random) if interface.tokens else y
        outs = body.distinct([body.op("Identity", going), made, *news, made])
        kind = INT64 if interface.tokens else writer.elem_type
        shape: list[int | str] = ["batch"] if interface.tokens else ["batch", interface.output]
        widths = [state[4] for state in self._core.states]

        def info(name: str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, shape)

        truth = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in (going, outs[0])]
        graph = body.graph(
            "generation",
            [
                helper.make_tensor_value_info(count, INT64, []),
                truth[0],
                info(token),
                *(self._info(name, ["batch", width]) for name, width in zip(olds, widths, strict=True)),
            ],
            [
                truth[1],
                info(outs[1]),
                *(self._info(name, ["batch", width]) for name, width in zip(outs[2:-1], widths, strict=True)),
                info(outs[-1]),
            ],
        )
        results = writer.op("Loop", "steps", "", x, *states, outputs=2 + len(states), body=graph)
        perm = [1, 0] if interface.tokens else [1, 0, 2]
        y = writer.op("Transpose", results[-1], perm=perm)
        writer.rename(y, "y")
        self._outputs.append(helper.make_tensor_value_info("y", kind, ["batch", "steps", *shape[1:]]))
        self._final_states(list(results[1:-1]))

    @property
    def _sampling(self) -> int:
        """The type in which tokens are drawn: float64 as the engine does, but WebGPU has none."""
        return int(TensorProto.FLOAT if self._options.target == "web" else TensorProto.DOUBLE)

    def _sampled(self, body: Writer, y: str, count: str, *, random: bool) -> str:
        """The likeliest token, or one drawn from softmax(y / temperature)."""
        if not random:
            return str(body.op("ArgMax", y, axis=-1, keepdims=0))
        scores = body.op("Cast", body.op("Div", y, "temperature"), to=self._sampling)
        largest = body.op("ReduceMax", scores, body.ints(-1), keepdims=1)
        shares = body.op("CumSum", body.op("Exp", body.op("Sub", scores, largest)), body.integer(-1))
        total = body.op("Gather", shares, body.ints(-1), axis=-1)
        draw = body.op("Unsqueeze", body.op("Gather", "noise.sample", count, axis=0), body.ints(-1))
        below = body.op("LessOrEqual", shares, body.op("Mul", draw, total))
        token = body.op("ReduceSum", body.op("Cast", below, to=INT64), body.ints(-1), keepdims=0)
        return str(body.op("Min", token, body.integer(self._interface.output - 1)))

    # Chains

    def _over_time(self, sequence: Sequence, states: list[str]) -> tuple[str, list[str], bool]:
        """All blocks over all steps: y, the final states, and whether y has steps."""
        finals: list[str] = []
        for block, choices in zip(self._blocks, self._choices, strict=True):
            if block.kind == "last":
                y = self._last(sequence)
                rest = self._blocks[self._blocks.index(block) + 1 :]
                return self._points(self._writer, y, rest, sequence.rows), finals, False
            count = [len(stage.cell.states) for stage in block.stages]
            own = states[len(finals) : len(finals) + sum(count)]
            if block.kind == "causal":
                for choice, size in zip(choices, count, strict=True):
                    y, after = self._stage(sequence, choice, own[:size], reverse=False)
                    own, sequence = own[size:], sequence.with_x(y)
                    finals.extend(after)
            else:
                y, after = self._directions(sequence, block, choices, [own[: count[0]], own[count[0] :]])
                sequence = sequence.with_x(y)
                finals.extend(after)
        return sequence.x, finals, True

    def _stage(self, sequence: Sequence, choice: Choice, states: list[str], *, reverse: bool) -> tuple[str, list[str]]:
        if choice.form == "pointwise":
            return sequence.stateless(choice.stage, choice.constants), []
        if choice.operator is not None:
            ys, finals = _operators.write(
                sequence, [choice.stage], [choice.constants], [states], [choice.operator], reverse=reverse
            )
            return ys[0], finals[0]
        if choice.groups is not None:
            return _parallel.write(sequence, choice.stage, choice.constants, states, choice.groups, reverse=reverse)
        return _scan.write(sequence, choice.stage, choice.constants, states, reverse=reverse)

    def _directions(
        self, sequence: Sequence, block: Block, choices: list[Choice], states: list[list[str]]
    ) -> tuple[str, list[str]]:
        operators = [choice.operator for choice in choices]
        alike = {(o.kind, o.reset_after, o.gates[0].r.shape) for o in operators if o is not None}
        if None not in operators and len(alike) == 1:
            constants = [choice.constants for choice in choices]
            ys, finals = _operators.write(
                sequence, block.stages, constants, states, [o for o in operators if o is not None]
            )
        else:
            both = [
                self._stage(sequence, choice, own, reverse=bool(direction))
                for direction, (choice, own) in enumerate(zip(choices, states, strict=True))
            ]
            ys, finals = [y for y, _ in both], [after for _, after in both]
        writer = self._writer
        parts = [sequence.x, *ys] if block.skip == "dense" else ys
        y = writer.op("Concat", *parts, axis=-1)
        if block.skip == "residual":
            y = writer.op("Add", sequence.x, y)
        return y, [name for after in finals for name in after]

    def _last(self, sequence: Sequence) -> str:
        """(B, F): each row's last valid step, zeros where it has none."""
        writer = self._writer
        if sequence.lengths is None:
            return str(writer.op("Gather", sequence.x, writer.integer(-1), axis=0))
        begin = writer.op("Expand", writer.number(0.0), writer.op("Shape", sequence.x, start=1))
        steps = writer.op("Concat", writer.op("Unsqueeze", begin, writer.ints(0)), sequence.x, axis=0)
        return _parallel.last(sequence, steps, self._core.widths[self._before_last()])

    def _before_last(self) -> int:
        layers = [layer["layer"] for layer in json.loads(self._core.spec)["layers"]]
        return layers.index("last") - 1

    def _points(self, writer: Writer, y: str, blocks: list[Block], rows: Any) -> str:
        """Blocks without time on (B, F)."""
        for block in blocks:
            for stage in block.stages:
                choice = next(c for several in self._choices for c in several if c.stage is stage)
                scope = Scope(writer, stage.cell, choice.constants, 1, rows, self._noise_of(stage.path))
                scope.values[stage.cell.input] = Value(y, 1)
                scope.compute_to(stage.cell.output)
                y = scope.whole(stage.cell.output)
        return y

    def _one_step(self, writer: Writer, x: str, states: list[str]) -> tuple[str, list[str]]:
        """All blocks at one step."""
        finals: list[str] = []

        def rows() -> str:
            return str(writer.op("Shape", x, start=0, end=1))

        y = x
        for block, choices in zip(self._blocks, self._choices, strict=True):
            if block.kind == "bidirectional":
                raise UnsupportedError(
                    f"mode: expected 'sequence' for a model that reads backwards, got '{self._options.mode}'"
                )
            for choice in choices:
                cell = choice.stage.cell
                scope = Scope(writer, cell, choice.constants, 1, rows, self._noise_of(choice.stage.path))
                scope.values[cell.input] = Value(y, 1)
                shaper = Sequence(writer, x, None, self._noise_of)
                for _, before, _ in cell.states:
                    scope.values[before] = Value(shaper.shaped(states[len(finals)], cell, before), 1)
                    finals.append("")
                scope.compute(cell.needed)
                if cell.states:
                    finals[-len(cell.states) :] = [
                        shaper.vector(scope.whole(after), cell, before, 1) for _, before, after in cell.states
                    ]
                y = scope.whole(cell.output)
                if cell.states and choice.form != "step":
                    choice.form, choice.why = "step", "one step: its equations as they are"
        return y, finals

    # Inputs and outputs

    def _noise_dtype(self, kind: str) -> np.dtype[Any]:
        """Of an input of random numbers: at least float32 where they are compared with a probability."""
        return np.promote_types(self._writer.dtype, np.float32) if kind == "bernoulli" else self._writer.dtype

    def _info(self, name: str, shape: Several[int | str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, self._writer.elem_type, list(shape))

    def _input(self, axes: list[str], name: str = "x") -> str:
        """X with these leading axes."""
        axes = self._layout.axes(axes)
        if self._interface.tokens:
            self._inputs.append(helper.make_tensor_value_info(name, INT64, axes))
        else:
            self._inputs.append(self._info(name, [*axes, self._interface.features]))
        return name

    def _output(self, name: str, value: str, shape: Several[int | str]) -> None:
        self._writer.rename(value, name)
        self._outputs.append(self._info(name, shape))

    def _states(self, rows: Any) -> list[str]:
        """The states before, (B, width), in the engine's order."""
        writer, flat = self._writer, [""] * len(self._core.states)
        for name, shape, members in self._interface.states:
            if self._options.zero_state:
                for member in members:
                    extents = writer.op("Concat", rows(), writer.ints(int(shape[-1])), axis=0)
                    flat[member] = writer.op("Expand", writer.number(0.0), extents)
                continue
            self._inputs.append(self._info(name, shape))
            for place, member in enumerate(members):
                stacked = self._layout.stacked
                flat[member] = writer.op("Gather", name, writer.integer(place), axis=0) if stacked else name
        return flat

    def _final_states(self, flat: list[str]) -> None:
        writer = self._writer
        for name, shape, members in self._interface.states:
            parts = [flat[member] for member in members]
            if self._layout.stacked:
                stacked = [writer.op("Unsqueeze", part, writer.ints(0)) for part in parts]
                parts = [writer.op("Concat", *stacked, axis=0) if len(stacked) > 1 else stacked[0]]
            self._output(f"{name}_next", parts[0], shape)

    def _noise_of(self, path: str) -> Noise | None:
        """Inputs of random numbers of a stage."""
        if not self._options.noise:
            return None
        writer = self._writer

        def noise(label: str, shape: tuple[int, ...], kind: str, per_sequence: bool) -> str:
            name = f"noise.{path}.{label}"
            self._noises[name] = (kind, shape, per_sequence)
            if self._options.mode != "sequence" or not per_sequence:
                return name
            steps = writer.op("Shape", "x", start=int(self._layout.batch_first), end=1 + int(self._layout.batch_first))
            extents = writer.op("Concat", steps, writer.op("Shape", name), axis=0)
            return str(writer.op("Expand", name, extents))

        return noise
