"""Products of operands in bfloat16, with sums and everything else in float32."""

import copy
import pickle

import numpy as np
import pytest

import rnnrs
from cases import assert_same_bits
from test_law_04_same_bits import paths

T, B, I, H = 21, 5, 7, 20


def bfloat16(array):
    """The nearest number whose lower half is empty, ties to even."""
    bits = np.asarray(array, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


def product(start, left, right):
    """start + left right with rounded operands: sums in float32, one multiply-add after the other."""
    chain = np.broadcast_to(start, (left.shape[0], right.shape[1])).astype(np.float32)
    left, right = (bfloat16(operand).astype(np.float64) for operand in (left, right))
    for k in range(left.shape[1]):
        chain = (left[:, k, None] * right[k] + chain).astype(np.float32)
    return chain


def data(steps=T, rows=B, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((steps, rows, I), np.float32), rng.standard_normal((steps, rows, H), np.float32)


def rounding(layer):
    layer.precision = "bfloat16"
    return layer


def test_a_network_is_what_the_definition_says():
    """Forward to the bit; gradients, whose sums have an order of their own, closely: far closer than rounding shows."""
    layer = rounding(rnnrs.RNN(I, H, nonlinearity="relu", seed=1))
    x, dy = data()
    p = layer.state_dict()
    w_ih, w_hh, bias = p["weight_ih_l0"], p["weight_hh_l0"], p["bias_ih_l0"] + p["bias_hh_l0"]
    h, hs = np.zeros((B, H), np.float32), []
    for x_t in x:
        h = np.maximum(product(product(bias, x_t, w_ih.T), h, w_hh.T), 0)
        hs.append(h)
    tape = layer.record(x)
    assert_same_bits(tape.y, np.array(hs), "y")
    grads = tape.backward(dy)
    dw_ih, dw_hh, dx, dh = np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros_like(x), np.zeros((B, H), np.float32)
    for t in reversed(range(T)):
        dz = (dy[t] + dh) * (hs[t] > 0)
        dw_ih += product(0, dz.T, x[t])
        dw_hh += product(0, dz.T, hs[t - 1] if t else np.zeros_like(h))
        dx[t], dh = product(0, dz, w_ih), product(0, dz, w_hh)
    for found, expected in (
        (grads.params["weight_ih_l0"], dw_ih),
        (grads.params["weight_hh_l0"], dw_hh),
        (grads.x, dx),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    layer.precision = "full"
    full = layer.record(x).backward(dy)
    assert np.abs(full.params["weight_hh_l0"] - dw_hh).max() > 1e-2


@pytest.mark.parametrize("cell", [rnnrs.LSTM, rnnrs.GRU, rnnrs.RNN])
def test_rounding_costs_less_than_a_hundredth(cell):
    layer = cell(I, H, seed=1)
    x, dy = data()
    full = layer.record(x)
    whole = full.backward(dy)
    tape = rounding(layer).record(x)
    grads = tape.backward(dy)
    assert 1e-5 < np.abs(tape.y - full.y).max() < 1e-2
    for name, value in whole.params.items():
        error = np.abs(grads.params[name] - value).max() / np.abs(value).max()
        assert 1e-5 < error < 1e-2, name


def test_a_tape_goes_back_as_it_came():
    layer = rnnrs.LSTM(I, H, seed=1)
    x, dy = data()
    first = layer.record(x)
    expected = first.backward(dy).params
    second = rounding(layer).record(x)
    rounded = second.backward(dy).params
    for name, value in first.backward(dy).params.items():
        assert_same_bits(value, expected[name], name)
    layer.precision = "full"
    for name, value in second.backward(dy).params.items():
        assert_same_bits(value, rounded[name], name)
        assert (value != expected[name]).any()


def test_rows_steps_and_chunks_have_the_same_bits():
    layer = rounding(rnnrs.LSTM(I, H, num_layers=2, seed=1))
    x, dy = data()
    tape = layer.record(x)
    y, grads = tape.y, tape.backward(dy)
    for rows in (slice(1, 2), slice(2, 5)):
        assert_same_bits(layer(x[:, rows])[0], y[:, rows], "rows")
    first, state = layer(x[:8])
    assert_same_bits(np.concatenate([first, layer(x[8:], state)[0]]), y, "two calls")
    stream = layer.stream(B)
    assert_same_bits(np.stack([stream.step(row) for row in x]), y, "stream")
    layer.precision = "full"
    stream.reset()
    assert_same_bits(np.stack([stream.step(row) for row in x]), layer(x)[0], "stream of another precision")
    layer.precision = "bfloat16"
    other = layer.record(x, checkpoint=16).backward(dy)
    assert_same_bits(other.x, grads.x, "dx")
    for name, value in grads.params.items():
        assert_same_bits(other.params[name], value, name)


def test_narrow_streams_are_those_of_full_precision():
    layer = rnnrs.GRU(I, H, seed=1)
    x, _ = data()
    whole = layer.stream(B, "int8").steps(x)
    assert_same_bits(rounding(layer).stream(B, "int8").steps(x), whole, "int8")


BITS = """
import hashlib
import numpy as np, rnnrs
digest = hashlib.sha256()
for steps, rows, features, units in ((30, 33, 9, 40), (3, 1, 600, 600), (40, 6, 5, 130)):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((steps, rows, n), np.float32) for n in (features, units))
    layer = rnnrs.Recurrent(rnnrs.cells.GRU(features, units), seed=1)
    layer.precision = "bfloat16"
    tape = layer.record(x)
    grads = tape.backward(dy)
    for array in (tape.y, grads.x, *grads.params.values()):
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


def test_every_simd_path_and_number_of_threads_gives_the_same_bits(run_script):
    ways = [{"RNNRS_SIMD": path} for path in paths()] + [{"RNNRS_NUM_THREADS": str(n)} for n in (1, 2, 4)]
    assert len({run_script(BITS, environment=way) for way in ways}) == 1


def test_it_learns_as_well():
    """Small updates reach the parameters, which stay float32."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 12, I)).astype(np.float32)
    y = x.sum(axis=2, keepdims=True).cumsum(axis=1) / 8
    losses = {}
    for precision in ("full", "bfloat16"):
        model = rnnrs.Sequential(rnnrs.GRU(I, 32), rnnrs.Linear(32, 1), seed=0)
        model.precision = precision
        optimizer = rnnrs.optim.Adam(3e-3)
        for _ in range(200):
            loss, grads = model.value_and_grad(x, y, loss="mse")
            optimizer.step(model, grads)
        losses[precision] = loss
        assert all(value.dtype == np.float32 for value in model.state_dict().values())
    assert losses["full"] < 0.02
    assert losses["bfloat16"] < 1.2 * losses["full"]
    assert losses["bfloat16"] != losses["full"]


def test_it_is_kept_in_files_and_copies(tmp_path):
    model = rounding(rnnrs.Sequential(rnnrs.LSTM(I, H), rnnrs.Linear(H, 2), seed=0))
    x = data()[0].swapaxes(0, 1)
    expected = model(x)
    model.save(tmp_path / "model.safetensors")
    others = [rnnrs.load(tmp_path / "model.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for other in [*others, rnnrs.Sequential(*model)]:
        assert other.precision == "bfloat16"
        assert_same_bits(other(x), expected, "y")
    model.precision = "full"
    assert rnnrs.Sequential(*model).precision == "full"
    assert (model(x) != expected).any()


def test_what_cannot_be():
    with pytest.raises(rnnrs.DtypeError, match="expected a float32 model for bfloat16, got float64"):
        rounding(rnnrs.LSTM(I, H, dtype="float64"))
    layer = rnnrs.LSTM(I, H)
    for wrong in ("float16", "", None, 1):
        with pytest.raises(rnnrs.InvalidValueError, match='"full" or "bfloat16"'):
            layer.precision = wrong
    assert layer.precision == "full"
    with pytest.raises(rnnrs.InvalidValueError, match="expected one precision, got bfloat16, full"):
        rnnrs.Sequential(rounding(layer), rnnrs.Linear(H, 1))


def test_an_export_has_the_parameters_as_they_are(tmp_path):
    pytest.importorskip("rnnrs_onnx")
    layer = rounding(rnnrs.LSTM(I, H, seed=0))
    report = layer.to_onnx(tmp_path / "model.onnx")
    assert layer.precision == "bfloat16"
    assert report.parity is not None
