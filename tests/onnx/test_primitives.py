"""Every primitive in ONNX: the table is complete, and every function of rnnrs.ops gives the engine's numbers."""

import numpy as np
import pytest

import rnnrs
import rnnrs_onnx
from cases import randomise
from rnnrs import ops
from rnnrs_onnx import _verify
from rnnrs_onnx._primitives import TABLE
from rnnrs_onnx._verify import Reference
from test_ops import TABLE as OPERATIONS
from test_ops import Before, Inside, ids


def test_the_table_is_that_of_the_engine():
    assert set(TABLE) == {name for name, _ in rnnrs._core.primitives()}


def model(cell, dtype="float64"):
    return randomise(rnnrs.Recurrent(cell, dtype=dtype), np.random.default_rng(5))


@pytest.mark.parametrize(("name", "shapes", "operation", "formula"), OPERATIONS, ids=ids(OPERATIONS))
def test_an_operation_in_a_step(name, shapes, operation, formula, tmp_path, monkeypatch):
    """In a loop, in a step and under onnx's own evaluator."""
    made = model(Inside(operation, shapes))
    for mode in ("sequence", "step"):
        report = made.to_onnx(tmp_path / "cell.onnx", mode=mode)
        assert report.parity.largest <= 1e-10
        assert report.parity.evaluator.startswith("onnxruntime")
        monkeypatch.setattr(_verify, "evaluator", Reference)
        assert made.to_onnx(tmp_path / "cell.onnx", mode=mode).parity.cases > 0
        monkeypatch.undo()
    single = model(Inside(operation, shapes), "float32")
    assert single.to_onnx(tmp_path / "cell.onnx", lengths=True).parity.largest <= 1e-5


@pytest.mark.parametrize(("name", "shapes", "operation", "formula"), OPERATIONS, ids=ids(OPERATIONS))
def test_an_operation_on_parameters(name, shapes, operation, formula, tmp_path):
    """Done once, at export."""
    report = model(Before(operation, shapes)).to_onnx(tmp_path / "cell.onnx")
    assert report.parity.largest <= 1e-10


class Surrogate(rnnrs.Cell):
    """A leaky unit that spikes."""

    def __init__(self):
        super().__init__(input=3, state={"u": 3})

    def step(self, x, u):
        u = 0.8 * u + self.linear("w", x)
        spike = ops.step(u - 0.5)
        return spike, u - 0.5 * spike


def test_spikes(tmp_path):
    assert model(Surrogate()).to_onnx(tmp_path / "cell.onnx").parity.largest <= 1e-10


class Noisy(rnnrs.Cell):
    """Noise of every kind, each step and each sequence."""

    def __init__(self, per_sequence):
        super().__init__(input=2, state={"h": 3})
        self.per_sequence = per_sequence

    def step(self, x, h):
        kinds = {"per_sequence": self.per_sequence}
        noise = ops.normal(0.5, 2.0, 3, **kinds) * ops.uniform(-1.0, 2.0, 3, **kinds)
        return ops.tanh(self.linear("a", x, h) + 0.3 * noise * ops.bernoulli(0.4, 3, **kinds))


@pytest.mark.parametrize("mode", ["sequence", "step"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("per_sequence", [False, True])
def test_random_numbers_are_inputs(mode, dtype, per_sequence, tmp_path):
    """The engine's own numbers, fed, give the engine's results in training."""
    native = "float64" if dtype == "float64" else "float32"
    made = rnnrs.Sequential(
        rnnrs.Recurrent(Noisy(per_sequence), bidirectional=mode == "sequence"),
        rnnrs.Dropout(0.5),
        rnnrs.Linear(6 if mode == "sequence" else 3, 2),
        seed=1,
        dtype=native,
    )
    report = made.to_onnx(tmp_path / "noisy.onnx", mode=mode, dtype=dtype, noise=True, lengths=mode == "sequence")
    assert any(name.startswith("noise.") for name in report.inputs)
    assert report.parity.cases == 3
    quiet = made.to_onnx(tmp_path / "quiet.onnx", mode=mode, dtype=dtype)
    assert not any(name.startswith("noise.") for name in quiet.inputs)


def test_a_primitive_of_backward_graphs_is_refused_by_name():
    call = type("Call", (), {"node": type("Node", (), {"kind": "accumulate_sum"})})
    with pytest.raises(rnnrs.UnsupportedError, match="accumulate_sum"):
        TABLE["accumulate_sum"](call)


def test_a_wrong_expression_is_found(tmp_path, monkeypatch):
    """The export fails, and the old file stays."""
    from rnnrs_onnx import _primitives

    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    monkeypatch.setitem(_primitives.TABLE, "tanh", lambda c: c.op("Sigmoid", c.arg(0)))
    with pytest.raises(rnnrs_onnx.ExportError, match="expected results within 1e-05 of the engine's"):
        rnnrs.Recurrent(rnnrs.cells.IndRNN(2, 3, nonlinearity="tanh"), seed=0).to_onnx(path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
