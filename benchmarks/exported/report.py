"""The table for the terminal, a line a row, and docs/onnx-table.md, a line a cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..report import DOCS
from .table import Row, Sizes

HEAD = (
    f"{'cell':86} {'mode':9} {'target':13} {'operator':9} {'parity':>7} {'onnxruntime':>12} {'engine':>9} {'ratio':>6}"
)


def line(row: Row) -> str:
    """A row for the terminal."""
    return (
        f"{row.cell:86} {row.mode:9} {' '.join(row.targets):13} {row.operator:9} {row.difference:7.0e} "
        f"{1e3 * row.onnxruntime:9.3f} ms {1e3 * row.engine:6.3f} ms {row.ratio:6.2f}"
    )


def write(rows: Sequence[Row], sizes: Sizes, machine: str, version: str) -> Path:
    """Writes docs/onnx-table.md."""
    cells = dict.fromkeys(row.cell for row in rows)
    lines = [
        "# What every cell becomes in ONNX",
        "",
        "Written by `make onnx-table`, from the tests' table of cells and options. The operator is that of the",
        "recurrent layer in mode `sequence`, for each target; in modes `step` and `loop` it is the equations as they",
        "are. Parity is the largest |a − b| / (1 + |b|) from the engine, in float32, of what `verify` compares, over",
        "the targets. The ratios say how many times as fast as onnxruntime the engine is on the CPU, one thread each,",
        f"in turns, call by call, by the medians: a sequence ({sizes}; MTRNN in groups as named) with the operator for",
        f"`cpu`; {sizes.steps} steps of one row, a call each; and {sizes.steps} steps of one row fed back, which",
        "onnxruntime does in one call.",
        "",
        f"Machine: {machine}. onnxruntime {version}.",
        "",
        "| cell | cpu | cuda | web | parity: sequence | step | loop | ratio: sequence | step | loop |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_cell([row for row in rows if row.cell == cell]) for cell in cells),
        "",
    ]
    path = DOCS / "onnx-table.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _cell(rows: Sequence[Row]) -> str:
    operators = {target: row.operator for row in rows if row.mode == "sequence" for target in row.targets}
    modes = ("sequence", "step", "loop")
    parity = (max(row.difference for row in rows if row.mode == mode) for mode in modes)
    ratio = (next(row.ratio for row in rows if row.mode == mode and "cpu" in row.targets) for mode in modes)
    shown = [rows[0].cell, *(operators[target] for target in ("cpu", "cuda", "web"))]
    return f"| {' | '.join([*shown, *(f'{p:.0e}' for p in parity), *(f'{r:.2f}' for r in ratio)])} |"
