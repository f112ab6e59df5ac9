"""The models that the browser runs, exported, and beside each as JSON what the engine gives for the same inputs."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import rnnrs
from rnnrs import cells, ops

sys.path.insert(0, str(Path(__file__).parents[1]))
from cases import flat, like, randomise

T, B, F, H = 7, 3, 4, 6
LENGTHS = np.array([T, 0, 3])  # a row without steps is where operators differ
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
BEGINNING, WRITTEN = "the cell", 200
LETTERS = "abcdefghijklmnopqrstuvwxyz ,.\n"


class MGU(rnnrs.Cell):
    """A user's own cell: the minimal gated unit of Zhou et al. (2016)."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input=input_size, state={"h": hidden_size})

    def step(self, x, h):
        f = ops.sigmoid(self.linear("f", x, h))
        n = ops.tanh(self.linear("n", x, f * h))
        return h + f * (n - h)


CELLS = {
    "RNN": cells.Elman(F, H),
    "LSTM": cells.LSTM(F, H),
    "LSTM with peepholes": cells.LSTM(F, H, peephole=True),
    "GRU": cells.GRU(F, H),
    "IndRNN": cells.IndRNN(F, H),
    "minGRU": cells.MinGRU(F, H),
    "a user's MGU": MGU(F, H),
}


@dataclass(frozen=True)
class Exported:
    """A model in a file, with the names that the file gives its states, in the order of the engine's."""

    path: Path
    states: list[str]

    @classmethod
    def of(cls, model: Any, path: Path, **options: Any) -> "Exported":
        model.to_onnx(path, target="web", **options)
        inputs = [value.name for value in onnx.load(path).graph.input]
        return cls(path, [name for name in inputs if name not in ("x", "lengths")])

    def call(self, inputs: dict[str, Any], y: Any, last: Any, state: Any = None) -> dict[str, Any]:
        """A call and what is expected of it; without a state that of the call before is carried on."""
        given = inputs if state is None else inputs | dict(zip(self.states, flat(state), strict=True))
        following = [f"{name}_next" for name in self.states]
        expected = {"y": y} | dict(zip(following, flat(last), strict=True))
        return {
            "inputs": {name: plain(array) for name, array in given.items()},
            "carry": dict(zip(self.states, following, strict=True)) if state is None else {},
            "outputs": {name: plain(array) for name, array in expected.items()},
        }

    def case(self, name: str, calls: list[dict[str, Any]], dtype: str = "float32") -> str:
        """Writes what is expected beside the model; gives the name of both files."""
        case = {"name": name, "calls": calls, "tolerance": TOLERANCE[dtype]}
        self.path.with_suffix(".json").write_text(json.dumps(case))
        return self.path.stem


def plain(array: Any) -> dict[str, Any]:
    """An array as the page reads it."""
    array = np.asarray(array)
    return {"type": array.dtype.name, "dims": list(array.shape), "data": array.ravel().tolist()}


def a_state(model: Any, x: Any) -> Any:
    """An initial state that is not zero."""
    form, rng = model(x)[1], np.random.default_rng(3)
    return like(form, [rng.normal(size=a.shape).astype(a.dtype) * 0.5 for a in flat(form)])


def of_cell(name: str, cell: Any, folder: Path) -> Iterator[str]:
    """Two layers of a cell: whole sequences, ragged ones, a step at a time."""
    rng = np.random.default_rng(2)
    model = randomise(rnnrs.Recurrent(cell, num_layers=2), rng)
    x = rng.normal(size=(T, B, F)).astype(np.float32)
    state = a_state(model, x)
    stem = "".join(c if c.isalnum() else "-" for c in name.lower())

    y, last = model(x, state)
    file = Exported.of(model, folder / f"{stem}-sequence.onnx", mode="sequence")
    yield file.case(f"{name}, sequence", [file.call({"x": x}, y, last, state)])

    y, last = model(x, state, lengths=LENGTHS)
    file = Exported.of(model, folder / f"{stem}-lengths.onnx", mode="sequence", lengths=True)
    yield file.case(f"{name}, lengths", [file.call({"x": x, "lengths": LENGTHS}, y, last, state)])

    stream = model.stream(B)
    stream.state = state
    file = Exported.of(model, folder / f"{stem}-step.onnx", mode="step")
    calls = [file.call({"x": x_t}, stream.step(x_t), stream.state, None if t else state) for t, x_t in enumerate(x)]
    yield file.case(f"{name}, step", calls)


def example(folder: Path) -> dict[str, Any]:
    """A model of characters for the example page, and what it writes where it always takes the likeliest."""
    from rnnrs._text import Vocabulary

    letters = Vocabulary("".join(sorted(LETTERS)))
    layers = rnnrs.Embedding(len(letters), 16), rnnrs.LSTM(16, 32), rnnrs.Linear(32, len(letters))
    model = randomise(rnnrs.Sequential(*layers, seed=0), np.random.default_rng(5))
    letters.keep(model)
    model.to_onnx(folder / "characters.onnx", mode="step", target="web")
    made = model.generate(letters.encode(BEGINNING), WRITTEN, temperature=0.0)
    return {"name": "the example page", "beginning": BEGINNING, "expected": letters.decode(made.tolist())}


def write(folder: Path) -> None:
    """Every model and ``cases.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [case for name, cell in CELLS.items() for case in of_cell(name, cell, folder)]
    (folder / "cases.json").write_text(json.dumps({"files": made, "example": example(folder)}))
