"""What an export tells: for each layer which operator was chosen and why, and how close its results are."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._build import Built


@dataclass(frozen=True)
class Parity:
    """How far results of the exported model are from the engine's."""

    evaluator: str
    """What ran it: "onnxruntime 1.30.0", or onnx's ReferenceEvaluator."""
    cases: int
    largest: float
    """Of |a - b| / (1 + |b|) over all outputs."""
    bound: float | None
    """What it may be; None where it is only reported."""
    left_out: tuple[str, ...] = ()
    """What could not be compared, and why."""


@dataclass
class Report:
    """What became of a model: ``print(report)``."""

    built: Built = field(repr=False)
    quantised: bool = False
    parity: Parity | None = None
    """None where ``verify=False``."""
    bytes: int = 0
    """Of the file, and of that of its weights if there is one."""

    @property
    def forms(self) -> list[tuple[str, str, str, str]]:
        """For each stage (its path, its cell, the operator chosen, why)."""
        return [(c.stage.path, c.stage.cell.name, c.form, c.why) for c in self.built.choices]

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [value.name for value in self.built.proto.graph.input]

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [value.name for value in self.built.proto.graph.output]

    def __str__(self) -> str:
        options = self.built.options
        dtype = "int8" if self.quantised else options.dtype
        lines = [f"ONNX, mode {options.mode}, target {options.target}, {dtype}, {self.bytes:,} bytes"]
        lines += [f"  {path} {name}: {form} ({why})" for path, name, form, why in self.forms]
        lines.append(f"  inputs {', '.join(self.inputs)}; outputs {', '.join(self.outputs)}")
        if self.parity is None:
            lines.append("  not verified")
        else:
            parity = self.parity
            bound = f"at most {parity.bound:g} allowed" if parity.bound is not None else "reported only"
            lines.append(
                f"  {parity.cases} cases under {parity.evaluator}: differs from the engine by {parity.largest:.1e} at "
                f"most ({bound})"
            )
            lines += [f"  not compared: {each}" for each in parity.left_out]
        return "\n".join(lines)
