"""Dense connections (Huang et al. 2017): each layer's output is its input and its result side by side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnrs
from cases import assert_same_bits
from differences import agrees, directions

LENGTHS = [5, 0, 3]


def layers_of(model, bidirectional):
    """The layers of a stack as models of their own, without the connections."""
    weights = model.state_dict()
    width = 2
    for k in range(model.num_layers):
        layer = rnnrs.GRU(width, model.hidden_size, bidirectional=bidirectional, dtype=model.dtype)
        layer.load_state_dict({name: weights[name.replace("_l0", f"_l{k}")] for name in layer.state_dict()})
        yield layer
        width += model.hidden_size * (2 if bidirectional else 1)


@given(seed=st.integers(0, 2**32), bidirectional=st.booleans(), batch_first=st.booleans())
def test_a_dense_stack_is_its_layers_side_by_side(seed, bidirectional, batch_first):
    model = rnnrs.GRU(2, 3, 3, bidirectional=bidirectional, dense=True, batch_first=batch_first, seed=seed)
    x = np.random.default_rng(seed).normal(size=(5, 3, 2)).astype("float32")
    laid = (lambda a: np.swapaxes(a, 0, 1)) if batch_first else (lambda a: a)
    tape = model.record(laid(x), lengths=LENGTHS, training=False)
    valid = np.arange(5)[:, None, None] < np.array(LENGTHS)[None, :, None]
    expected, states = np.where(valid, x, np.float32(0.0)), []
    for layer in layers_of(model, bidirectional):
        y, h = layer(expected, lengths=LENGTHS)
        expected = np.concatenate([expected, y], axis=-1)
        states.append(h)
    assert_same_bits(laid(tape.y), expected, "y")
    assert_same_bits(tape.state, np.concatenate(states), "state")
    assert_same_bits(model(laid(x), lengths=LENGTHS)[0], tape.y, "a call")


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("checkpoint", [None, 16])
def test_gradients_equal_central_differences(bidirectional, checkpoint):
    rng = np.random.default_rng(0)
    model = rnnrs.LSTM(2, 3, 2, bidirectional=bidirectional, dense=True, dropout=0.2, dtype="float64", seed=0)
    x, start = rng.normal(size=(5, 3, 2)), model.state_dict()
    dy = rng.normal(size=model.record(x).y.shape)

    def run(x, change=()):
        model.load_state_dict(start | dict(change))
        return model.record(x, lengths=LENGTHS, checkpoint=checkpoint, seed=1)

    gradients = run(x).backward(dy)

    def compare(what, gradient, f):
        for d in directions(gradient.shape, rng, 10):
            ok, nearest = agrees(lambda h, d=d: float((f(h * d).y * dy).sum()), float((gradient * d).sum()))
            assert ok, f"d{what}: {(gradient * d).sum()}, differences say {nearest}"

    compare("x", gradients.x, lambda change: run(x + change))
    for name, gradient in gradients.params.items():
        compare(name, gradient, lambda change, name=name: run(x, {name: start[name] + change}))


def test_it_streams_and_is_saved(tmp_path):
    model = rnnrs.Recurrent(rnnrs.cells.MinGRU(2, 3), 2, dense=True, seed=0)
    x = np.random.default_rng(0).normal(size=(4, 2))
    y = model(x)[0]
    assert y.shape == (4, 8)
    stream = model.stream()
    assert_same_bits(np.stack([stream.step(x_t) for x_t in x]), y, "a stream")
    model.save(tmp_path / "model.safetensors")
    assert_same_bits(rnnrs.load(tmp_path / "model.safetensors")(x)[0], y, "loaded")


def test_time_in_parallel():
    x = np.random.default_rng(0).normal(size=(600, 2, 2))
    y = [
        rnnrs.Recurrent(rnnrs.cells.MinGRU(2, 3), 2, dense=True, scan=scan, seed=0)(x)[0]
        for scan in ("loop", "parallel")
    ]
    np.testing.assert_allclose(y[0], y[1], rtol=1e-4, atol=1e-5)


def test_dense_and_residual_exclude_each_other():
    with pytest.raises(rnnrs.InvalidValueError, match="residual and dense"):
        rnnrs.GRU(3, 3, residual=True, dense=True)
