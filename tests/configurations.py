"""The table of what is tested: every cell with its options, and chains of layers. Every law runs through it.

A new cell is tested by being listed here, with a plain version under its name in reference/; test_configurations.py
demands that the cells listed are those of the engine.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from itertools import product

import rnnrs
from reference import elman, embedding, gru, layer_norm, linear, lstm, sequence

CLASSES = {cell["name"]: cell["class"] for cell in json.loads(rnnrs._core.cell_table())}
LAYERS = {"elman": ("RNN", "RNNCell"), "lstm": ("LSTM", "LSTMCell"), "gru": ("GRU", "GRUCell")}
# Nothing of the state goes through a matrix product with parameters, so recurrent dropout has nothing to drop.
ELEMENTWISE = {"indrnn", "min_gru", "min_lstm", "sru", "qrnn", "lru", "mlstm"}


@dataclass(frozen=True)
class Configuration:
    """A cell by its name in the engine, with its options."""

    cell: str
    options: dict = field(default_factory=dict)

    @cached_property
    def name(self):
        """For pytest's list of tests."""

        def named(option, value):
            if isinstance(value, bool):
                return option if value else f"no-{option}"
            return option if isinstance(value, list) else f"{option}={value}"

        return "-".join([self.cell, *(named(option, value) for option, value in self.options.items())])

    @cached_property
    def reference(self):
        """The plain version, a module of reference/."""
        return import_module(f"reference.{self.cell}")

    @property
    def description(self):
        """Its class in rnnrs.cells."""
        return CLASSES[self.cell]

    @property
    def layer(self):
        """Its class of layers in rnnrs, where it has its own."""
        return LAYERS.get(self.cell, (None, None))[0]

    @property
    def step(self):
        """Its class of single steps in rnnrs, where it has one."""
        return LAYERS.get(self.cell, (None, None))[1]

    @property
    def smooth(self):
        """No corner where a unit may stand for good: relu has one at zero, which dropout leads to."""
        return self.options.get("nonlinearity", "relu" if self.cell == "indrnn" else "tanh") != "relu"

    @property
    def drops(self):
        """Whether it takes recurrent dropout."""
        return self.cell not in ELEMENTWISE

    def hidden_size(self, wanted):
        """The least hidden size from `wanted` on that makes sense with the options."""
        if "groups" in self.options:
            return sum(self.options["groups"])
        # A norm of two is a sign function, parts are narrower than the whole, and time takes one of the features.
        parts = ("proj_size", "input_units", "output_units", "timestamps")
        least = max(3 if self.options.get("layer_norm") else 1, *(self.options.get(part, 0) + 1 for part in parts))
        heads = self.options.get("heads", 1)
        return -(-max(wanted, least) // heads) * heads

    def num_layers(self, wanted):
        """The layers of a stack: time comes to the first alone."""
        return 1 if self.options.get("timestamps") else wanted

    def input_size(self, wanted):
        """The least input size from `wanted` on that makes sense with the options: time needs a feature of its own."""
        return max(wanted, 2 if self.options.get("timestamps") else 1)


def options_of_lstm():
    gates = ({}, {"coupled": True}, {"forget_gate": False})
    for peephole, gate, norm, proj in product(({}, {"peephole": True}), gates, ({}, {"layer_norm": True}), (0, 2)):
        yield peephole | gate | norm | ({"proj_size": proj} if proj else {})
    without = {"bias": False}
    yield from (without, without | {"peephole": True}, without | {"layer_norm": True}, {"forget_bias": 1.0})
    # The variants of Greff et al. 2017, and mixtures of them.
    yield from ({"input_gate": False}, {"output_gate": False}, {"input_activation": False})
    yield from ({"output_activation": False}, {"full_gate_recurrence": True})
    yield {"peephole": True, "full_gate_recurrence": True, "layer_norm": True, "proj_size": 2}
    yield {"peephole": True, "input_gate": False, "output_activation": False}
    yield {"peephole": True, "coupled": True, "output_gate": False, "input_activation": False}
    yield {"input_gate": False, "forget_gate": False, "output_gate": False, "bias": False}


OPTIONS = {
    "elman": [{}, {"nonlinearity": "relu"}, {"bias": False}],
    "lstm": list(options_of_lstm()),
    "gru": [{}, {"reset_after": False}, {"bias": False}, {"reset_after": False, "bias": False}],
    "jordan": [
        {"output_size": 2},
        {"output_size": 3, "decay": 0.5, "nonlinearity": "relu", "output_nonlinearity": "identity"},
        {"output_size": 2, "decay": 0.3, "nonlinearity": "sigmoid", "output_nonlinearity": "tanh", "bias": False},
    ],
    "fully_recurrent": [
        {},
        {"input_units": 2, "output_units": 1, "nonlinearity": "tanh"},
        {"output_units": 2, "nonlinearity": "relu", "bias": False},
    ],
    "elman_jordan": [
        {"output_size": 2},
        {"output_size": 3, "decay": 0.5, "nonlinearity": "relu", "output_nonlinearity": "tanh", "bias": False},
    ],
    "second_order": [{}, {"first_order": True}, {"first_order": True, "nonlinearity": "tanh", "bias": False}],
    "indrnn": [
        {},
        {"steps": 20, "remember": True, "nonlinearity": "tanh"},
        {"steps": 5, "layer_norm": True},
        {"nonlinearity": "sigmoid", "layer_norm": True, "bias": False},
    ],
    "recurrent_mlp": [
        {},
        {"num_hidden": 3, "feedback": False},
        {"num_hidden": 3, "nonlinearity": "relu", "bias": False},
    ],
    "gated_feedback": [{}, {"unit": "tanh"}, {"unit": "gru", "num_hidden": 3}],
    "ctrnn": [
        {},
        {"method": "rk4", "dt": 0.5, "substeps": 2, "learn_time_constants": True},
        {"timestamps": True, "time_constant": 2.0, "substeps": 3, "nonlinearity": "sigmoid"},
        {"method": "rk4", "timestamps": True, "learn_time_constants": True, "bias": False},
    ],
    "mtrnn": [
        {"groups": [3, 2], "time_constants": [2.0, 5.0]},
        {
            "groups": [2, 1, 3],
            "time_constants": [1.0, 4.0, 9.0],
            "connections": [[True, False, True], [True, True, False], [False, False, True]],
            "input_groups": [0, 2],
            "nonlinearity": "sigmoid",
            "bias": False,
        },
    ],
    "mgu": [{}, {"bias": False}],
    "simplified_gru": [{}, {"kind": 2}, {"kind": 3}],
    "min_gru": [{}, {"bias": False}],
    "min_lstm": [{}, {"bias": False}],
    "sru": [{}, {"state_gates": True, "nonlinearity": "tanh"}, {"state_gates": True, "bias": False}],
    "qrnn": [{}, {"pooling": "f"}, {"pooling": "ifo", "kernel_size": 3}, {"kernel_size": 1, "bias": False}],
    "lru": [{}, {"r_min": 0.5, "r_max": 0.9, "max_phase": 1.0, "output_size": 2}],
    "slstm": [{}, {"heads": 2, "forget": "exp"}, {"bias": False}],
    "mlstm": [{}, {"heads": 2, "forget": "exp"}, {"heads": 2, "bias": False}],
}
CELLS = [Configuration(cell, options) for cell, some in OPTIONS.items() for options in some]


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
