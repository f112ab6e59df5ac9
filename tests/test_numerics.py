"""The numbers themselves: tanh and sigmoid within their bound, and no denormals in states and gradients."""

import numpy as np
import pytest

import rnnrs

BOUND = 2.0  # ULP, in float32


def sweep(dtype):
    """Dense about zero and over the range where the functions bend, and everything far out."""
    rng = np.random.default_rng(0)
    near = rng.normal(size=20000) * np.exp(rng.uniform(-60, 4, 20000))
    line = np.linspace(-20, 20, 40001)
    far = [0.0, -0.0, 88.7, 89.0, 104.0, -88.7, -104.0, 710.0, -745.0, 1e30, -1e30, np.inf, -np.inf, np.nan]
    return np.concatenate([near, line, far]).astype(dtype)


def tanh(x):
    """Through an Elman net: W_ih = 1, nothing else."""
    net = rnnrs.RNN(1, 1, bias=False, dtype=x.dtype.name)
    net.load_state_dict({"weight_ih_l0": np.ones((1, 1), x.dtype), "weight_hh_l0": np.zeros((1, 1), x.dtype)})
    return net(x[None, :, None])[0].ravel()


def sigmoid(x):
    """Through a GRU whose candidate is zero: h(1) = z h(0), h(0) = 1."""
    net = rnnrs.GRU(1, 1, bias=False, dtype=x.dtype.name)
    weight = np.array([[0], [1], [0]], x.dtype)
    net.load_state_dict({"weight_ih_l0": weight, "weight_hh_l0": 0 * weight})
    finite = np.isfinite(x)  # infinity times a weight of zero is not a number, which is as it should be
    y = net(np.where(finite, x, 0)[None, :, None], np.ones((1, len(x), 1), x.dtype))[0].ravel()
    return y[finite], x[finite]


def ulps(got, exact, dtype):
    """Distance in units of the last place of the exact value."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        unit = np.spacing(np.maximum(np.abs(exact), np.finfo(dtype).tiny).astype(dtype)).astype(np.longdouble)
        return np.abs(got.astype(np.longdouble) - exact) / unit


FLUSHED = {"float32": 2.0**-100, "float64": 2.0**-900}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh(dtype):
    x = sweep(dtype)
    y = tanh(x)
    assert np.isnan(y[np.isnan(x)]).all()
    x, y = x[~np.isnan(x)], y[~np.isnan(x)]
    exact = np.tanh(x.astype(np.longdouble))
    exact = np.where(np.abs(exact) < FLUSHED[np.dtype(dtype).name], 0, exact)
    # float64 is compared with the C library's, which is itself a little off where there is no wider type.
    assert ulps(y, exact, dtype).max() <= BOUND + (dtype is np.float64)
    assert np.abs(y).max() == 1
    np.testing.assert_array_equal(tanh(-x), -y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid(dtype):
    y, x = sigmoid(sweep(dtype))
    with np.errstate(over="ignore", under="ignore"):
        exact = 1 / (1 + np.exp(-x.astype(np.longdouble)))
    exact = np.where(exact < FLUSHED[np.dtype(dtype).name], 0, exact)
    # Denormal results may lose their last places, and may be zero.
    normal = exact >= np.finfo(dtype).tiny * 4
    assert ulps(y[normal], exact[normal], dtype).max() <= BOUND + (dtype is np.float64)
    assert (y >= 0).all()
    assert (y <= 1).all()
    assert sigmoid(np.zeros(1, dtype))[0] == 0.5


@pytest.mark.parametrize(("dtype", "least"), [("float32", 100), ("float64", 900)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_state_that_dies_out_becomes_zero(dtype, least, sign):
    """h(t) = h(t-1) / 2: 2⁻¹⁰⁰ (2⁻⁹⁰⁰) is the least that is kept, below it is +0."""
    net = rnnrs.RNN(1, 1, bias=False, dtype=dtype)
    net.load_state_dict({name: np.full((1, 1), 0.5, dtype) for name in net.state_dict()})
    start = np.full((1, 1, 1), sign * 2.0**-30, dtype)  # where tanh is the identity to the last place
    states = net.states(np.zeros((least + 5, 1, 1)), start).ravel()
    kept = least - 30
    np.testing.assert_array_equal(states[:kept], sign * 2.0 ** -(31.0 + np.arange(kept)))
    np.testing.assert_array_equal(states[kept:], 0)
    assert not np.signbit(states[kept:]).any()
    y = net(np.zeros((least + 5, 1, 1)), start)[0].ravel()
    np.testing.assert_array_equal(y, states)


@pytest.mark.parametrize(("dtype", "least"), [("float32", 100), ("float64", 900)])
def test_a_gradient_that_dies_out_becomes_zero(dtype, least):
    """dh(t-1) = dh(t) / 2, flushed alike."""
    net = rnnrs.RNN(1, 1, nonlinearity="relu", bias=False, dtype=dtype)
    net.load_state_dict({"weight_ih_l0": np.ones((1, 1), dtype), "weight_hh_l0": np.full((1, 1), 0.5, dtype)})
    for steps, expected in ((least - 1, 2.0 ** -(least - 1)), (least, 2.0**-least), (least + 1, 0.0), (least + 9, 0.0)):
        tape = net.record(np.ones((steps, 1, 1)))
        (got,) = tape.backward(None, np.ones((1, 1, 1))).state.ravel()
        assert got == expected, steps
        assert not np.signbit(got)
