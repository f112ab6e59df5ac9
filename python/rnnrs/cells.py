"""Cells by their options: what ``rnnrs.Recurrent`` is told to stack, reverse and run over time.

The classes are made from the engine's table of cells, where the equations stand. All cells take ``recurrent_dropout``,
one Bernoulli mask a sequence and unit on a state where it enters a product with a weight (Gal and Ghahramani 2016), and
``zoneout``, the probability with which a unit of the state keeps its old value for a step (Krueger et al. 2016; in
evaluation p * old + (1 - p) * new).
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _core, _spec
from ._core import InvalidValueError
from ._definition import Above, Definition


class CellSpec(Definition):
    """A cell of the engine by its name, one of ``rnnrs._core.cells()``, and its options.

    >>> CellSpec("elman", input_size=2, hidden_size=3)
    CellSpec('elman', input_size=2, hidden_size=3)
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self.options = options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CellSpec) and (self.name, self.options) == (other.name, other.options)

    def __hash__(self) -> int:
        return hash((self.name, repr(sorted(self.options.items()))))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"CellSpec({self.name!r}, {options})"

    def _graph(self) -> str:
        return _core.cell_graph(self.name, _spec.dumps(self.options))

    def _layer(self, _num_layers: int, _above: Above, regularisation: dict[str, float]) -> _spec.LayerSpec:
        options = dict(self.options)
        for name, value in regularisation.items():
            if value and options.get(name, value) not in (0.0, value):
                raise InvalidValueError(f"{name}: expected {options[name]}, as the cell says, got {value}")
            options[name] = value or options.get(name, value)
        return {"cell": self.name, "options": options}


def _class(cell: dict[str, Any]) -> type[CellSpec]:
    """The class of a cell of the engine's table: sizes by position, options by name."""
    positional, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    about = []
    for option in cell["options"]:
        default = inspect.Parameter.empty if option["required"] else option["default"]
        sized = option["name"] in ("input_size", "hidden_size")
        parameters.append(inspect.Parameter(option["name"], positional if sized else named, default=default))
        if option["doc"].strip():
            text = " ".join(option["doc"].split())
            about.append(textwrap.fill(f"{option['name']}: {text}", 112, subsequent_indent="    "))
    shared = [inspect.Parameter(option, named, default=0.0) for option in ("recurrent_dropout", "zoneout")]
    signature = inspect.Signature([*parameters, *shared])

    def __init__(self: CellSpec, *args: Any, **options: Any) -> None:
        given = signature.bind(self, *args, **options)
        given.apply_defaults()
        CellSpec.__init__(self, cell["name"], **{k: v for k, v in given.arguments.items() if k != "self"})

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    doc = textwrap.dedent(cell["doc"]).strip()
    if about:
        doc += "\n\nArgs:\n" + textwrap.indent("\n".join(about), "    ")
    return type(cell["class"], (CellSpec,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})


_CLASSES = {cell["class"]: _class(cell) for cell in json.loads(_core.cell_table())}
globals().update(_CLASSES)
__all__ = ["CellSpec", *_CLASSES]

if TYPE_CHECKING:
    from collections.abc import Callable

    def __getattr__(name: str) -> Callable[..., CellSpec]: ...
