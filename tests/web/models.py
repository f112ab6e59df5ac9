"""The models that the browser runs, exported, and beside each as JSON what the engine gives for the same inputs."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rnnrs
from rnnrs import cells, ops
from rnnrs._text import Vocabulary

sys.path.insert(0, str(Path(__file__).parents[1]))
from cases import flat, like, randomise

T, B, F, H, MADE = 7, 3, 4, 6, 12
LENGTHS = np.array([T, 0, 3])  # a row without steps is where operators differ
TOLERANCE = {"float32": 1e-5, "float64": 1e-10, "float16": 1e-2}
BEGINNING, WRITTEN = "the cell", 200
LETTERS = Vocabulary("\n ,.abcdefghijklmnopqrstuvwxyz")


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
    "ReLU RNN": cells.Elman(F, H, nonlinearity="relu"),
    "LSTM": cells.LSTM(F, H),
    "peephole LSTM": cells.LSTM(F, H, peephole=True),
    "GRU": cells.GRU(F, H),
    "GRU, reset before": cells.GRU(F, H, reset_after=False),
    "IndRNN": cells.IndRNN(F, H),
    "minGRU": cells.MinGRU(F, H),
    "LRU": cells.LRU(F, H),
    "own MGU": MGU(F, H),
}


@dataclass(frozen=True)
class Exported:
    """A model in a file, with the names that the file gives its states, in the order of the engine's."""

    name: str
    path: Path
    states: list[str]
    forms: list[str]
    dtype: str

    @classmethod
    def of(cls, name: str, model: Any, folder: Path, *, dtype: str = "float32", **options: Any) -> "Exported":
        path = folder / ("".join(c if c.isalnum() else "-" for c in name.lower()) + ".onnx")
        report = model.to_onnx(path, target="web", dtype=dtype, **options)
        states = [output.removesuffix("_next") for output in report.outputs if output != "y"]
        forms = sorted({form for _, _, form, _ in report.forms if form != "pointwise"})
        return cls(name, path, states, forms, dtype)

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

    def expect(self, *calls: dict[str, Any]) -> str:
        """Writes what is expected beside the model; gives the name of both files."""
        case = {
            "name": self.name,
            "form": ", ".join(self.forms),
            "tolerance": TOLERANCE[self.dtype],
            "float64": any(value["type"] == "float64" for call in calls for value in call["inputs"].values()),
            "calls": calls,
        }
        self.path.with_suffix(".json").write_text(json.dumps(case))
        return self.path.stem


def plain(array: Any) -> dict[str, Any]:
    """An array as the page reads it."""
    array = np.asarray(array)
    return {"type": array.dtype.name, "dims": list(array.shape), "data": array.ravel().tolist()}


def a_state(state: Any, rng: np.random.Generator) -> Any:
    """A state of the same form with random numbers."""
    return like(state, [(0.5 * rng.normal(size=a.shape)).astype(a.dtype) for a in flat(state)])


def sequences(name: str, layer: Any, folder: Path, *, lengths: Any = None, **options: Any) -> str:
    """Sequences in one call, from a state that is not zero."""
    rng = np.random.default_rng(2)
    model = randomise(layer, rng)
    x = rng.normal(size=(T, B, F)).astype(model.dtype)
    state = a_state(model(x)[1], rng)
    y, last = model(x, state, lengths=lengths)
    file = Exported.of(name, model, folder, dtype=model.dtype, lengths=lengths is not None, **options)
    inputs = {"x": x} if lengths is None else {"x": x, "lengths": lengths}
    return file.expect(file.call(inputs, y, last, state))


def steps(name: str, layer: Any, folder: Path) -> str:
    """The same a step a call, the states carried by the page."""
    rng = np.random.default_rng(3)
    model = randomise(layer, rng)
    x = rng.normal(size=(T, B, F)).astype(np.float32)
    state = a_state(model(x)[1], rng)
    file = Exported.of(name, model, folder, mode="step")
    stream = model.stream(B)
    stream.state = state
    calls = [file.call({"x": x_t}, stream.step(x_t), stream.state, None if t else state) for t, x_t in enumerate(x)]
    return file.expect(*calls)


def of_characters(cell: Any) -> rnnrs.Sequential:
    """A model of characters with random parameters."""
    recurrent = rnnrs.Recurrent(cell, num_layers=2)
    width = recurrent(np.zeros((1, 1, F)))[0].shape[-1]
    layers = rnnrs.Embedding(len(LETTERS), F), recurrent, rnnrs.Linear(width, len(LETTERS))
    model = randomise(rnnrs.Sequential(*layers), np.random.default_rng(5))
    LETTERS.keep(model)
    return model


def generation(name: str, cell: Any, folder: Path, sample: str) -> str:
    """Characters generated in one call: the likeliest, or drawn with the numbers that are given."""
    rng = np.random.default_rng(7)
    model = of_characters(cell)
    start = rng.integers(0, len(LETTERS), B)
    state = a_state(model(start[:, None], return_state=True)[1], rng)
    inputs = {"start": start, "steps": np.int64(MADE)}
    temperature, draws = np.float32(0.8), rng.random((MADE, B), np.float32)
    if sample == "random":
        inputs |= {"temperature": temperature, "noise.sample": draws}
    stream = model.stream(B)
    stream.state = state
    made = [start]
    for aims in draws:
        y = stream.step(made[-1])
        shares = np.exp(np.float64(y - y.max(axis=-1, keepdims=True)) / temperature).cumsum(axis=-1)
        drawn = (shares <= aims[:, None] * shares[:, -1:]).sum(axis=-1)
        made.append(drawn if sample == "random" else y.argmax(axis=-1))
    file = Exported.of(name, model, folder, mode="loop", sample=sample)
    return file.expect(file.call(inputs, np.stack(made[1:], axis=1), stream.state, state))


def example(folder: Path) -> dict[str, Any]:
    """A model for the example page, and what it writes where it always takes the likeliest."""
    model = of_characters(cells.LSTM(F, H))
    model.to_onnx(folder / "characters.onnx", mode="step", target="web")
    made = model.generate(LETTERS.encode(BEGINNING), WRITTEN, temperature=0.0)
    return {"name": "the example page", "beginning": BEGINNING, "expected": LETTERS.decode(made.tolist())}


def files(folder: Path) -> Iterator[str]:
    """Every model but the example's."""
    for name, cell in CELLS.items():
        yield sequences(f"{name}, sequence", rnnrs.Recurrent(cell, num_layers=2), folder)
        yield sequences(f"{name}, lengths", rnnrs.Recurrent(cell, num_layers=2), folder, lengths=LENGTHS)
        yield steps(f"{name}, step", rnnrs.Recurrent(cell, num_layers=2), folder)
        yield generation(f"{name}, loop", cell, folder, "argmax")
    for name in ("LSTM", "GRU", "minGRU", "own MGU"):
        both_ways = rnnrs.Recurrent(CELLS[name], bidirectional=True)
        yield sequences(f"{name}, two directions", both_ways, folder, lengths=LENGTHS)
    for name in ("minGRU", "LRU"):
        yield sequences(f"{name}, parallel", rnnrs.Recurrent(CELLS[name]), folder, lengths=LENGTHS, scan="parallel")
    for name in ("GRU", "own MGU"):
        yield sequences(f"{name}, float64", rnnrs.Recurrent(CELLS[name], dtype="float64"), folder)
        yield generation(f"{name}, loop, drawn", CELLS[name], folder, "random")


def write(folder: Path) -> None:
    """Every model and ``cases.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.json").write_text(json.dumps({"files": list(files(folder)), "example": example(folder)}))
