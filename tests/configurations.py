"""The table of what is tested: every cell with its options, and chains of layers. Every law runs through it.

A new cell is tested by being listed here, with a plain version in reference/; test_configurations.py demands that the
cells listed are those of the engine.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from types import ModuleType

from reference import elman, embedding, gru, layer_norm, linear, lstm, sequence


@dataclass(frozen=True)
class Configuration:
    """A cell with its options.

    `cell` is its name in the engine, `description` its class in rnnrs.cells (a new cell may have none yet), `layer` and
    `step` its classes in rnnrs where it has its own.
    """

    cell: str
    reference: ModuleType
    options: dict = field(default_factory=dict)
    description: str | None = None
    layer: str | None = None
    step: str | None = None

    @property
    def name(self):
        """For pytest's list of tests."""
        named = [k if v is True else f"no-{k}" if v is False else f"{k}={v}" for k, v in self.options.items()]
        return "-".join([self.cell, *named])

    @property
    def smooth(self):
        """No corner anywhere."""
        return self.options.get("nonlinearity") != "relu"

    @property
    def hidden(self):
        """The least hidden size that makes sense: a projection is narrower, and a norm of two is a sign function."""
        return 3 if self.options.get("layer_norm") else self.options.get("proj_size", 0) + 1


def elmans():
    for options in ({}, {"nonlinearity": "relu"}, {"bias": False}):
        yield Configuration("elman", elman, options, "Elman", "RNN", "RNNCell")


def lstms():
    gates = ({}, {"coupled": True}, {"forget_gate": False})
    for peephole, gate, norm, proj in product(({}, {"peephole": True}), gates, ({}, {"layer_norm": True}), (0, 2)):
        options = peephole | gate | norm | ({"proj_size": proj} if proj else {})
        yield Configuration("lstm", lstm, options, "LSTM", "LSTM", "LSTMCell")
    without = {"bias": False}
    for options in (without, without | {"peephole": True}, without | {"layer_norm": True}, {"forget_bias": 1.0}):
        yield Configuration("lstm", lstm, options, "LSTM", "LSTM", "LSTMCell")


def grus():
    for options in ({}, {"reset_after": False}, {"bias": False}, {"reset_after": False, "bias": False}):
        yield Configuration("gru", gru, options, "GRU", "GRU", "GRUCell")


CELLS = [*elmans(), *lstms(), *grus()]


@dataclass(frozen=True)
class Chain:
    """A Sequential: how to make it, and the same thing from reference/."""

    name: str
    make: Callable  # (rnnrs, **options) -> rnnrs.Sequential
    reference: (
        Callable  # (weights, x, states, lengths) -> y, states; x (T, B, F) or tokens (T, B), y (T, B, F) or (B, F)
    )
    states: tuple = ()  # (num_layers * directions, width) of each state array
    width: int = 3  # features of x; with `tokens` their vocabulary
    tokens: bool = False
    causal: bool = True
    steps: bool = True  # whether y has a time axis


def under(weights, index):
    """The parameters of the chain's layer `index`, by their bare names."""
    return {name.split(".", 1)[1]: value for name, value in weights.items() if name.startswith(f"{index}.")}


def language_model(w, x, states, lengths):
    x = embedding.embedding(x, w["0.weight"])
    y, states, _ = sequence.run(lstm, under(w, 1), {}, 5, x, states, lengths)
    return linear.linear(y, w["3.weight"], w["3.bias"]), states


def tagger(w, x, states, lengths):
    x = layer_norm.layer_norm(linear.linear(x, w["0.weight"], w["0.bias"]), w["1.weight"], w["1.bias"])
    y, states, _ = sequence.run(gru, under(w, 2), {}, 4, x, states, lengths, num_layers=2, bidirectional=True)
    return linear.linear(y, w["3.weight"]), states


def classifier(w, x, states, lengths):
    y, first, _ = sequence.run(lstm, under(w, 0), {"peephole": True}, 4, x, states[:2], lengths, num_layers=2)
    y, second, _ = sequence.run(elman, under(w, 1), {}, 3, y, states[2:], lengths)
    return linear.linear(linear.last(y, lengths), w["3.weight"], w["3.bias"]), first + second


def readout(w, x, states, lengths):
    return linear.linear(layer_norm.layer_norm(x, w["0.weight"], w["0.bias"]), w["1.weight"], w["1.bias"]), []


CHAINS = [
    Chain(
        "language-model",
        lambda rnnrs, **k: rnnrs.Sequential(
            rnnrs.Embedding(7, 4), rnnrs.LSTM(4, 5), rnnrs.Dropout(0.3), rnnrs.Linear(5, 7), **k
        ),
        language_model,
        states=((1, 5), (1, 5)),
        width=7,
        tokens=True,
    ),
    Chain(
        "tagger",
        lambda rnnrs, **k: rnnrs.Sequential(
            rnnrs.Linear(3, 4),
            rnnrs.LayerNorm(4),
            rnnrs.GRU(4, 4, num_layers=2, bidirectional=True, dropout=0.2),
            rnnrs.Linear(8, 2, bias=False),
            **k,
        ),
        tagger,
        states=((4, 4),),
        causal=False,
    ),
    Chain(
        "classifier",
        lambda rnnrs, **k: rnnrs.Sequential(
            rnnrs.LSTM(3, 4, num_layers=2, peephole=True), rnnrs.RNN(4, 3), rnnrs.Last(), rnnrs.Linear(3, 2), **k
        ),
        classifier,
        states=((2, 4), (2, 4), (1, 3)),
        steps=False,
    ),
    Chain("readout", lambda rnnrs, **k: rnnrs.Sequential(rnnrs.LayerNorm(3), rnnrs.Linear(3, 5), **k), readout),
]
