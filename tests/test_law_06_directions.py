"""Law 6: reverse equals flip, forward, flip; bidirectional equals both; to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import assert_same_bits, cases, flat
from configurations import CELLS


def flip(case, array):
    """Each row's valid steps in reverse; the padding stays behind them."""
    array = np.moveaxis(array.copy(), case.time_axis, 0)
    for b, n in enumerate(case.valid):
        at = (slice(0, n), b) if not case.unbatched and case.batch_axis else (slice(0, n), ...)
        if not case.unbatched:
            at = (slice(0, n), b)
        array[at] = array[at][::-1]
    return np.moveaxis(array, 0, case.time_axis)


def one_way(case, weights, suffix):
    """A layer of one direction with the weights of one of the two."""
    layer = case.but(bidirectional=False).make(dtype=case.dtype)
    layer.load_state_dict({name: weights[name + suffix] for name in layer.state_dict()})
    return layer


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_bidirectional_is_forward_beside_reverse(configuration, data):
    case = data.draw(cases(configuration, bidirectional=True, num_layers=1, residual=False))
    model = case.build()
    weights = model.state_dict()
    lengths = case.given["lengths"]
    both = model.record(case.x, **case.given, training=False)
    dy, dstate = case.cotangents(both)
    gradients = both.backward(dy, dstate)
    width = both.y.shape[-1] // 2
    parts = []
    for direction, suffix in enumerate(("", "_reverse")):
        turn = (lambda a: flip(case, a)) if direction else (lambda a: a)
        layer = one_way(case, weights, suffix)
        rows, columns = slice(direction, direction + 1), slice(direction * width, (direction + 1) * width)

        def pick(state, rows=rows):
            arrays = [s[rows] for s in flat(state)]
            return None if not arrays else tuple(arrays) if len(arrays) > 1 else arrays[0]

        tape = layer.record(turn(case.x), pick(case.state), lengths, training=False)
        assert_same_bits(turn(tape.y), both.y[..., columns], f"y of direction {direction}")
        for got, expected in zip(flat(tape.state), flat(both.state), strict=True):
            assert_same_bits(got, expected[rows], f"state of direction {direction}")
        back = tape.backward(turn(dy[..., columns]), pick(dstate))
        for got, expected in zip(flat(back.state), flat(gradients.state), strict=True):
            assert_same_bits(got, expected[rows], f"dstate of direction {direction}")
        parts.append(turn(back.x))
        # A parameter's sum groups steps by their place, which turning changes: equal but for rounding.
        tolerance = {"rtol": 1e-9, "atol": 1e-10} if case.dtype == "float64" else {"rtol": 1e-3, "atol": 1e-3}
        for name in back.params:
            np.testing.assert_allclose(back.params[name], gradients.params[name + suffix], **tolerance)
    np.testing.assert_allclose(
        parts[0] + parts[1], gradients.x, rtol=1e-4, atol=1e-4 if case.dtype == "float32" else 1e-11
    )


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_a_turned_bidirectional_layer_changes_sides(configuration, data):
    """With the directions' weights and states exchanged, a turned input gives the turned output, halves exchanged."""
    case = data.draw(cases(configuration, bidirectional=True, num_layers=1, residual=False, lengths=None))
    model, mirror = case.build(), case.build()
    weights = mirror.state_dict()
    turned = {
        name: weights[name.removesuffix("_reverse") if name.endswith("_reverse") else name + "_reverse"]
        for name in weights
    }
    mirror.load_state_dict(turned)
    state = case.state
    if state is not None:
        arrays = [np.ascontiguousarray(s[::-1]) for s in flat(state)]
        state = tuple(arrays) if len(arrays) > 1 else arrays[0]
    there = model.record(case.x, case.state, training=False)
    back = mirror.record(flip(case, case.x), state, training=False)
    assert_same_bits(np.roll(flip(case, back.y), back.y.shape[-1] // 2, -1), there.y, "y")
    for got, expected in zip(flat(back.state), flat(there.state), strict=True):
        assert_same_bits(got[::-1], expected, "state")
