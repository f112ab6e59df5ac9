"""Weights in int8 are int8 whatever operator a layer would otherwise become, and the loss is told."""

import numpy as np
import pytest

import rnnrs
from rnnrs_onnx import Session

LAYERS = {
    "RNN": (lambda: rnnrs.RNN(32, 64, seed=0), "Scan"),
    "GRU": (lambda: rnnrs.GRU(32, 64, seed=0), "Scan"),
    "LSTM": (lambda: rnnrs.LSTM(32, 64, bidirectional=True, seed=0), "LSTM"),
    "peepholes": (lambda: rnnrs.LSTM(32, 64, peephole=True, seed=0), "LSTM"),
    "projection": (lambda: rnnrs.LSTM(32, 64, proj_size=32, seed=0), "Scan"),
    "MinGRU": (lambda: rnnrs.Recurrent(rnnrs.cells.MinGRU(32, 64), seed=0), "Scan"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_weights_shrink_and_results_stay_close(name, tmp_path):
    make, form = LAYERS[name]
    layer = make()
    whole = layer.to_onnx(tmp_path / "m.onnx")
    report = layer.to_onnx(tmp_path / "m8.onnx", dtype="int8")
    assert {chosen for _, _, chosen, _ in report.forms} == {form}
    assert report.bytes < 0.6 * whole.bytes
    assert report.parity.bound is None
    assert 1e-4 < report.parity.largest < 0.05
    assert "reported only" in str(report)
    x = np.random.default_rng(0).normal(size=(5, 3, 32)).astype(np.float32)
    np.testing.assert_allclose(Session(tmp_path / "m8.onnx")(x), layer(x)[0], rtol=0, atol=0.1)
