"""Streams with narrow weights, and several steps in a call."""

import numpy as np
import pytest

import rnnrs
from cases import assert_same_bits
from rnnrs import _core


def bfloat16(array):
    """The nearest number whose lower half is empty, ties to even."""
    bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


def inputs(steps, features, rows=None):
    shape = (steps, features) if rows is None else (steps, rows, features)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("rows", [None, 1, 3])
@pytest.mark.parametrize("weights", ["full", "bfloat16", "int8"])
def test_several_steps_are_as_many_single_ones(rows, weights):
    model = rnnrs.Sequential(rnnrs.GRU(5, 9), rnnrs.Linear(9, 4), seed=1)
    x = inputs(7, 5, rows)
    one, several = (model.stream(rows or 1, weights) for _ in range(2))
    single = np.stack([one.step(row) for row in x])
    both = np.concatenate([several.steps(x[:3]), several.steps(x[3:3]), several.steps(x[3:])])
    assert_same_bits(both, single, "steps")
    assert_same_bits(np.asarray(several.state), np.asarray(one.state), "state")


def test_several_tokens_are_as_many_single_ones():
    model = rnnrs.Sequential(rnnrs.Embedding(7, 3), rnnrs.LSTM(3, 6), seed=1)
    tokens = np.array([0, 6, 3, 3, 1])
    one, several = model.stream(), model.stream()
    assert_same_bits(several.steps(tokens), np.stack([one.step(int(token)) for token in tokens]), "steps")
    before = np.asarray(several.state)
    with pytest.raises(rnnrs.InvalidValueError, match="tokens 0 to 6"):
        several.steps([1] * 300_000 + [7])
    assert_same_bits(np.asarray(several.state), before, "state after an error")
    with pytest.raises(rnnrs.ShapeError, match=r"\(steps,\) or \(steps, 1\)"):
        several.steps(np.zeros((2, 2), int))


@pytest.mark.parametrize(
    "cell", [rnnrs.cells.LSTM, rnnrs.cells.GRU, rnnrs.cells.MGU, rnnrs.cells.Elman, rnnrs.cells.SLSTM]
)
def test_weights_of_16_bits_are_rounded_once_and_no_more(cell):
    """Sums are float32 and in the same order, so rounded weights in a stream of their own give nearly the same numbers:
    a start of a sum is added at its end."""
    layer = rnnrs.Recurrent(cell(12, 24), seed=1)
    x = inputs(20, 12)
    narrow = layer.stream(weights="bfloat16").steps(x)
    before = layer.state_dict()
    layer.load_state_dict({name: bfloat16(w) if w.ndim == 2 else w for name, w in before.items()})
    np.testing.assert_allclose(narrow, layer.stream().steps(x), rtol=1e-4, atol=1e-6)
    layer.load_state_dict(before)
    assert np.abs(narrow - layer.stream().steps(x)).max() > 1e-5


def test_weights_of_8_bits_are_within_half_a_unit():
    layer = rnnrs.Linear(40, 30, seed=1)
    x = inputs(50, 40)
    units = np.abs(layer.state_dict()["weight"]).max(axis=1) / 127
    bound = 0.5 * units * np.abs(x).sum(axis=1)[:, None]
    error = np.abs(layer.stream(weights="int8").steps(x) - layer.stream().steps(x))
    assert (error <= bound * 1.01 + 1e-5).all()
    assert error.max() > 1e-4


def test_narrow_weights_follow_updates():
    layer = rnnrs.LSTM(6, 8, seed=1)
    stream = layer.stream(weights="int8")
    x = inputs(4, 6)
    first = stream.steps(x)
    layer.load_state_dict({name: 0.5 * w for name, w in layer.state_dict().items()})
    stream.reset()
    fresh = layer.stream(weights="int8").steps(x)
    assert_same_bits(stream.steps(x), fresh, "after an update")
    assert np.abs(first - fresh).max() > 1e-3


def test_narrow_weights_have_the_same_bits_on_any_path_and_threads(run_script):
    script = """
import hashlib, numpy as np, rnnrs
x = np.random.default_rng(0).standard_normal((5, 300), np.float32)
digest = hashlib.sha256()
for weights in ("bfloat16", "int8"):
    layer = rnnrs.LSTM(300, 500, seed=1)
    digest.update(layer.stream(weights=weights).steps(x).tobytes())
print(digest.hexdigest())
"""
    paths = {"scalar", _core.simd()}
    found = {
        run_script(script, environment={"RNNRS_SIMD": path, "RNNRS_NUM_THREADS": threads})
        for path in paths
        for threads in ("1", "2")
    }
    assert len(found) == 1


def test_what_narrow_weights_are_not_for():
    with pytest.raises(rnnrs.InvalidValueError, match='full, bfloat16 or int8, got "int4"'):
        rnnrs.LSTM(2, 3).stream(weights="int4")
    with pytest.raises(rnnrs.DtypeError, match="float32"):
        rnnrs.LSTM(2, 3, dtype="float64").stream(weights="int8")
