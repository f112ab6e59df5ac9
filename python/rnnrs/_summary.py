"""The table that ``summary`` prints: layers, output shapes, parameters and, on request, where the time goes."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from . import _frame
from ._spec import LayerSpec

if TYPE_CHECKING:
    from ._parameters import Parameterised


def table(owner: Parameterised, profile: Any) -> str:
    """The table as text."""
    model = owner._native
    kind = model.input[0]
    steps = True
    rows = [["", "layer", "output", "parameters"]]
    counts: dict[int, int] = {}
    frozen = 0
    numbered = bool(json.loads(model.spec)["prefix"])
    for name, shape, held in model.parameters():
        index = int(name.split(".", 1)[0]) if numbered else 0
        counts[index] = counts.get(index, 0) + math.prod(shape)
        frozen += math.prod(shape) if held else 0
    for index, (layer, width) in enumerate(zip(owner._layers, model.widths, strict=True)):
        steps = steps and layer["layer"] != "last"
        output = f"(N, T, {width})" if steps else f"(N, {width})"
        rows.append([str(index), _title(layer), output, f"{counts.get(index, 0):,}"])
    if profile is not None:
        array, features = _frame.load(model, profile, "profile")
        _frame.chain(array, features)
        # A layer is one or more stages, named "layer", "layer.sublayer.direction" or "layer.sublayer.dropout".
        times = [0.0] * len(owner._layers)
        for stage, seconds in model.profile(array, None, batch_first=True):
            times[int(stage.split(" ")[0].split(".")[0])] += seconds
        whole = sum(times) or 1.0
        rows[0] += ["forward", "share"]
        for row, seconds in zip(rows[1:], times, strict=True):
            row += [f"{seconds * 1e3:.3f} ms", f"{seconds / whole:.0%}"]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(size) if column < 3 else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    total = sum(counts.values())
    note = f", of which {frozen:,} frozen" if frozen else ""
    source = f"tokens below {model.input[1]}" if kind == "tokens" else f"{model.input[1]} features"
    return "\n".join([*lines, f"{total:,} parameters{note}; {model.dtype}; input: {source}"])


def _title(layer: LayerSpec) -> str:
    if layer["layer"] != "recurrent":
        return "".join(part.capitalize() for part in str(layer["layer"]).split("_"))
    graphs = layer.get("graphs")
    parts = [str(graphs[0]["name"] if graphs else layer["cell"])]
    if layer.get("num_layers", 1) > 1:
        parts.append(f"{layer['num_layers']} layers")
    if layer.get("bidirectional"):
        parts.append("both directions")
    return ", ".join(parts)
