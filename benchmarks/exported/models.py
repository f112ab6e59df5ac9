"""What is exported: every cell of the tests' table with every option, in a model whose output can be its next input."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

import rnnrs

MODES = ("sequence", "step", "loop")
TARGETS = ("cpu", "cuda", "web")


def configurations() -> list[Any]:
    """The table of tests/configurations.py."""
    tests = str(Path(__file__).parents[2] / "tests")
    if tests not in sys.path:
        sys.path.append(tests)
    cells: list[Any] = importlib.import_module("configurations").CELLS
    return cells


def model(configuration: Any, inputs: int, hidden: int, **options: Any) -> rnnrs.Sequential:
    """The cell in a layer with these options, and one behind it that makes as many outputs as there are inputs."""
    inputs = configuration.input_size(inputs)
    cell = getattr(rnnrs.cells, configuration.description)
    layer = rnnrs.Recurrent(
        cell(input_size=inputs, hidden_size=configuration.hidden_size(hidden), **configuration.options),
        seed=0,
        **options,
    )
    y, _ = layer(np.zeros((1, 1, inputs), layer.dtype))
    return rnnrs.Sequential(layer, rnnrs.Linear(y.shape[-1], inputs, dtype=layer.dtype, seed=1))


def recurrence(report: Any) -> str:
    """The operators that the recurrent stages of an exported model became."""
    return ", ".join(dict.fromkeys(form for _, _, form, _ in report.forms if form != "pointwise"))
