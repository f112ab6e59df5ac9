"""The constant error carousel: without forget gates the LSTM's error flows back undiminished, however long the way."""

import numpy as np
import pytest

import rnnrs

STEPS = 1_000_000


def through_time(layer, state, error):
    """The gradient of the initial state, for an error at the final state a million steps later."""
    x = np.random.default_rng(0).uniform(-1, 1, (STEPS, 1)).astype(layer.dtype)
    return layer.record(x, state, checkpoint=1024).backward(dstate=error).state


def without_feedback(layer):
    """The layer with h kept from its own gates, so that c is reached through the carousel alone."""
    layer.load_state_dict({"weight_hh_l0": np.zeros_like(layer.state_dict()["weight_hh_l0"])}, strict=False)
    return layer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_million_steps_of_the_carousel_leave_the_error_as_it_was(dtype):
    """dc(t)/dc(t-1) = 1 (Hochreiter and Schmidhuber 1997, section 3.2), to the bit."""
    lstm = without_feedback(rnnrs.LSTM(1, 4, forget_gate=False, dtype=dtype, seed=0))
    error = np.array([[1.0, -0.5, 3.25e-7, 1e5]], dtype)
    zero = np.zeros_like(error)
    _, dc = through_time(lstm, (zero, zero), (zero, error))
    np.testing.assert_array_equal(dc, error)


def test_the_error_vanishes_in_elmans_network_and_behind_forget_gates():
    """What the carousel is against: the same way through other cells leaves nothing."""
    error = np.ones((1, 4), np.float32)
    zero = np.zeros_like(error)
    assert not through_time(rnnrs.RNN(1, 4, seed=0), zero, error).any()
    _, dc = through_time(without_feedback(rnnrs.LSTM(1, 4, seed=0)), (zero, zero), (zero, error))
    assert not dc.any()
