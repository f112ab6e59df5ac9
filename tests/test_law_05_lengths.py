"""Law 5: padded with lengths equals each sequence alone, to the bit; zero length and NaN in the padding included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import (
    EVERY,
    assert_same_bits,
    assert_same_gradients,
    assert_same_tape,
    cases,
    flat,
    like,
    random_options,
)
from configurations import CELLS


@st.composite
def ragged(draw, configuration, **fixed):
    """Cases with lengths, unsorted, zeros among them."""
    case = draw(cases(configuration, **fixed, unbatched=False))
    lengths = draw(st.lists(st.integers(0, case.steps), min_size=case.batch, max_size=case.batch))
    return case.but(lengths=tuple(lengths))


def beyond(case, array):
    """True at the padding of x or y."""
    outside = np.arange(case.steps)[:, None] >= np.array(case.lengths)[None, :]
    outside = outside.T if case.time_axis == 1 else outside
    return outside.reshape(outside.shape + (1,) * (array.ndim - 2))


def filled(case, array, value):
    return np.where(beyond(case, array), np.asarray(value, dtype=array.dtype), array)


def row(case, array, b):
    """Row b of x or y, as a batch of one, its padding cut off."""
    one = np.take(array, [b], case.batch_axis)
    return np.take(one, range(case.lengths[b]), case.time_axis)


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_a_padded_row_equals_the_sequence_alone(configuration, data):
    case = data.draw(ragged(configuration))
    model = case.build()
    padded = model.record(case.x, **case.given, training=False)
    dy, dstate = case.cotangents(padded)
    gradients = padded.backward(dy, dstate)
    has_steps = getattr(configuration, "steps", True)
    for b, length in enumerate(case.lengths):
        state = None if case.state is None else like(case.state, [s[:, b : b + 1] for s in flat(case.state)])
        alone = model.record(row(case, case.x, b), state, training=False)
        assert_same_bits(alone.y, row(case, padded.y, b) if has_steps else padded.y[b : b + 1], f"y of row {b}")
        for got, expected in zip(flat(alone.state), flat(padded.state), strict=True):
            assert_same_bits(got, expected[:, b : b + 1], f"state of row {b}")
        d = None if dstate is None else like(dstate, [s[:, b : b + 1] for s in flat(dstate)])
        back = alone.backward(row(case, dy, b) if has_steps else dy[b : b + 1], d)
        if back.x is not None:
            assert_same_bits(back.x, row(case, gradients.x, b), f"dx of row {b}")
        for got, expected in zip(flat(back.state), flat(gradients.state), strict=True):
            assert_same_bits(got, expected[:, b : b + 1], f"dstate of row {b}")
        if length == 0 and case.state is not None:
            for got, expected in zip(flat(padded.state), flat(case.state), strict=True):
                assert_same_bits(got[:, b], expected[:, b], f"state of the empty row {b}")


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_padding_reaches_nothing(configuration, data):
    """NaN in the padding of x and of dy: the same bits everywhere, and zeros in the padding of y and dx."""
    case = data.draw(ragged(configuration))
    model = case.build()
    padding = 0 if getattr(configuration, "tokens", False) else np.nan
    clean = model.record(filled(case, case.x, 0), **case.given, training=False)
    dirty = model.record(filled(case, case.x, padding), **case.given, training=False)
    assert_same_tape(clean, dirty)
    dy, dstate = case.cotangents(clean)
    if not getattr(configuration, "steps", True):
        assert_same_gradients(clean.backward(dy, dstate), dirty.backward(dy, dstate))
        return
    assert_same_bits(clean.y, filled(case, clean.y, 0), "the padding of y")
    gradients = dirty.backward(filled(case, dy, np.nan), dstate)
    assert_same_gradients(clean.backward(filled(case, dy, 0), dstate), gradients)
    if gradients.x is not None:
        assert_same_bits(gradients.x, filled(case, gradients.x, 0), "the padding of dx")


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_more_padding_changes_nothing(configuration, data):
    case = data.draw(ragged(configuration))
    model = case.build()
    tape = model.record(case.x, **case.given, training=False)
    more = data.draw(st.integers(1, 40))
    shape = list(case.x.shape)
    shape[case.time_axis] = more
    wider = np.concatenate([case.x, np.zeros(shape, case.x.dtype)], case.time_axis)
    longer = model.record(wider, **case.given, training=False)
    dy, dstate = case.cotangents(tape)
    back = tape.backward(dy, dstate)
    has_steps = getattr(configuration, "steps", True)
    if has_steps:
        shape[-1:] = [dy.shape[-1]] if dy.ndim == len(shape) else [shape[-1], dy.shape[-1]]
        dy = np.concatenate([dy, np.zeros(shape, dy.dtype)], case.time_axis)
    wide = longer.backward(dy, dstate)

    def cut(array):
        return np.take(array, range(case.steps), case.time_axis)

    assert_same_bits(cut(longer.y) if has_steps else longer.y, tape.y, "y")
    for got, expected in zip(flat(longer.state), flat(tape.state), strict=True):
        assert_same_bits(got, expected, "state")
    if back.x is not None:
        assert_same_bits(cut(wide.x), back.x, "dx")
    for name in back.params:
        assert_same_bits(wide.params[name], back.params[name], f"d{name}")


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_full_lengths_are_no_lengths(configuration, data):
    case = data.draw(cases(configuration, unbatched=False, lengths=None))
    model = case.build()
    plain = model.record(case.x, case.state, None, training=False)
    told = model.record(case.x, case.state, np.full(case.batch, case.steps), training=False)
    assert_same_tape(plain, told)
    assert_same_gradients(plain.backward(*case.cotangents(plain)), told.backward(*case.cotangents(plain)))


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_padding_reaches_nothing_in_training(configuration, data):
    """The first row of a batch keeps its draws: it equals the sequence alone, with zoneout and dropout at work."""
    case = data.draw(ragged(configuration, **data.draw(random_options(configuration))))
    model = case.build()
    x = filled(case, case.x, np.nan)
    padded = model.record(x, **case.given, training=True, seed=5)
    state = None if case.state is None else like(case.state, [s[:, :1] for s in flat(case.state)])
    alone = model.record(row(case, x, 0), state, training=True, seed=5)
    assert_same_bits(alone.y, row(case, padded.y, 0), "y")
    dy, _ = case.cotangents(padded)
    back = padded.backward(filled(case, dy, np.nan))
    assert_same_bits(alone.backward(row(case, dy, 0)).x, row(case, back.x, 0), "dx")
    assert all(np.isfinite(back.params[name]).all() for name in back.params)
