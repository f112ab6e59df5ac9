"""Cells are told by their equations: those that are ONNX's RNN, GRU or LSTM become it, however they are written."""

import numpy as np
import pytest

import rnnrs
from cases import randomise
from rnnrs import ops


class Written(rnnrs.Cell):
    """A cell whose step is a function."""

    def __init__(self, states, step):
        super().__init__(input=3, state=dict.fromkeys(states, 4))
        self._function = step

    def step(self, x, *states):
        return self._function(self, x, *states)


def quarters(a):
    return a[:4], a[4:8], a[8:12], a[12:]


def lstm_of_one_product(self, x, h, c):
    i, f, g, o = quarters(self.linear("all", x, h, size=16))
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, h, c


def lstm_gate_by_gate(self, x, h, c):
    gate = {name: self.linear(name, x) + self.linear(f"{name}_h", h) for name in "fogi"}
    kept = c * ops.sigmoid(gate["f"])
    c = ops.tanh(gate["g"]) * ops.sigmoid(gate["i"]) + kept
    h = ops.tanh(c) * ops.sigmoid(gate["o"])
    return h, h, c


def lstm_states_turned_round(self, x, c, h):
    h, _, c = lstm_gate_by_gate(self, x, h, c)
    return h, c, h


def lstm_sliced_after(self, x, h, c):
    a = self.linear("all", x, h, size=16)
    gates = ops.sigmoid(a[:12])
    c = gates[:4] * c + gates[4:8] * ops.tanh(a[12:])
    h = gates[8:] * ops.tanh(c)
    return h, h, c


def lstm_with_peepholes(self, x, h, c):
    i = ops.sigmoid(self.linear("i", x, h) + self.param("p_i", 4) * c)
    f = ops.sigmoid(self.linear("f", x, h) + self.param("p_f", 4) * c)
    c = f * c + i * ops.tanh(self.linear("g", x, h))
    h = ops.sigmoid(self.linear("o", x, h) + self.param("p_o", 4) * c) * ops.tanh(c)
    return h, h, c


def lstm_coupled(self, x, h, c):
    f = ops.sigmoid(self.linear("f", x, h))
    c = f * c + (1 - f) * ops.tanh(self.linear("g", x, h))
    h = ops.sigmoid(self.linear("o", x, h)) * ops.tanh(c)
    return h, h, c


def lstm_with_residual(self, x, h, c):
    h, _, c = lstm_gate_by_gate(self, x, h, c)
    return h + self.linear("around", x), h, c


def gru_as_published(self, x, h):
    z, r = ops.sigmoid(self.linear("z", x, h)), ops.sigmoid(self.linear("r", x, h))
    return (1 - z) * h + z * ops.tanh(self.linear("n", x, r * h))


def gru_by_difference(self, x, h):
    z, r = ops.sigmoid(self.linear("z", x, h)), ops.sigmoid(self.linear("r", x, h))
    n = ops.tanh(self.linear("n", x) + r * self.linear("n_h", h))
    return n + z * (h - n)


def rnn(self, x, h):
    return ops.tanh(self.linear("a", x) + self.linear("b", h, bias=False))


def rnn_relu(self, x, h):
    return ops.relu(self.linear("a", x, h))


OPERATORS = {
    "LSTM": [
        lstm_of_one_product,
        lstm_gate_by_gate,
        lstm_states_turned_round,
        lstm_sliced_after,
        lstm_with_peepholes,
        lstm_coupled,
        lstm_with_residual,
    ],
    "GRU": [gru_as_published, gru_by_difference],
    "RNN": [rnn, rnn_relu],
}


def cell(step):
    names = {"lstm_states_turned_round": "ch"}.get(step.__name__, "hc" if step.__name__.startswith("lstm") else "h")
    return Written(names, step)


@pytest.mark.parametrize(
    ("kind", "step"), [(kind, step) for kind, steps in OPERATORS.items() for step in steps], ids=lambda p: str(p)
)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_operator_however_it_is_written(kind, step, bidirectional, tmp_path):
    model = randomise(rnnrs.Recurrent(cell(step), bidirectional=bidirectional), np.random.default_rng(1))
    report = model.to_onnx(tmp_path / "model.onnx", lengths=True)
    assert {form for _, _, form, _ in report.forms} == {kind}
    operators = [node.op_type for node in report.built.proto.graph.node]
    assert operators.count(kind) == 1
    assert "Scan" not in operators


def gate_of_y(self, x, h, c):
    h, _, c = lstm_gate_by_gate(self, x, h, c)
    return c, h, c


def sigmoid_inside(self, x, h, c):
    i, f, g, o = quarters(self.linear("all", x, h, size=16))
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.sigmoid(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, h, c


def no_forget_gate(self, x, h, c):
    i, g, o, _ = quarters(self.linear("all", x, h, size=16))
    c = c + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, h, c


def old_c(self, x, h, c):
    i, f, g, o = quarters(self.linear("all", x, h, size=16))
    new = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, h, new


def squared_input(self, x, h):
    return ops.tanh(self.linear("a", x * x, h))


def scaled_gru(self, x, h):
    z, r = ops.sigmoid(self.linear("z", x, h)), ops.sigmoid(self.linear("r", x, h))
    return (1 - z) * h + 0.5 * z * ops.tanh(self.linear("n", x, r * h))


@pytest.mark.parametrize("step", [gate_of_y, sigmoid_inside, no_forget_gate, old_c, squared_input, scaled_gru])
def test_what_is_almost_an_operator_is_none(step, tmp_path):
    count = step.__code__.co_argcount - 2
    model = randomise(rnnrs.Recurrent(Written("hc"[:count], step)), np.random.default_rng(1))
    assert [form for _, _, form, _ in model.to_onnx(tmp_path / "model.onnx").forms] == ["Scan"]


def forms(model, tmp_path, **options):
    report = model.to_onnx(tmp_path / "model.onnx", **options)
    return [(form, why) for _, _, form, why in report.forms]


@pytest.mark.parametrize(
    ("model", "options", "form", "why"),
    [
        (rnnrs.LSTM(2, 3, seed=0), {"target": "cuda"}, "LSTM", "its equations"),
        (rnnrs.LSTM(2, 3, peephole=True, seed=0), {"target": "cuda"}, "Scan", "peepholes"),
        (rnnrs.LSTM(2, 3, peephole=True, seed=0), {"target": "cpu"}, "LSTM", "its equations"),
        (rnnrs.LSTM(2, 3, coupled=True, seed=0), {"target": "cuda"}, "LSTM", "its equations"),
        (rnnrs.GRU(2, 3, seed=0), {"target": "cuda"}, "GRU", "its equations"),
        (rnnrs.GRU(2, 3, reset_after=False, seed=0), {"target": "cuda"}, "Scan", "linear_before_reset = 0"),
        (rnnrs.RNN(2, 3, nonlinearity="relu", seed=0), {"target": "cuda"}, "Scan", "ReLU"),
        (rnnrs.RNN(2, 3, seed=0), {"target": "cuda"}, "RNN", "its equations"),
        (rnnrs.RNN(2, 3, seed=0), {"target": "web"}, "Scan", "WebGPU"),
        (rnnrs.LSTM(2, 3, dtype="float64", seed=0), {}, "Scan", "float32 only"),
        (rnnrs.Recurrent(rnnrs.cells.MinGRU(2, 3), seed=0), {"target": "cuda"}, "parallel", "doubling"),
        (rnnrs.Recurrent(rnnrs.cells.MinGRU(2, 3), seed=0), {"scan": "loop"}, "Scan", "asked for"),
        (rnnrs.Recurrent(rnnrs.cells.IndRNN(2, 3), seed=0), {}, "Scan", "no operator of ONNX"),
    ],
)
def test_the_form_that_runs_best_there(model, options, form, why, tmp_path):
    [(found, reason)] = forms(model, tmp_path, **options)
    assert found == form
    assert why in reason


def test_products_of_one_input_are_one_product(tmp_path):
    """Eight products of four gates: one before the loop, one in it."""
    report = rnnrs.LSTM(2, 3, peephole=True, seed=0).to_onnx(tmp_path / "m.onnx", target="cuda")
    nodes = report.built.proto.graph.node
    [scan] = [node for node in nodes if node.op_type == "Scan"]
    [body] = [attribute.g for attribute in scan.attribute if attribute.name == "body"]
    assert sum(node.op_type == "MatMul" for node in nodes) == 1
    assert sum(node.op_type == "MatMul" for node in body.node) == 1
    assert len(body.input) == 3  # h, c and all that x gives, side by side
    assert not body.initializer
