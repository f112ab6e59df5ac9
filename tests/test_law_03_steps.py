"""Law 3: a sequence equals repeated single steps, and chunks equal the whole; both to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnrs
from cases import EVERY, assert_same_bits, cases, flat, like, random_options
from configurations import CELLS

CAUSAL = [c for c in EVERY if getattr(c, "causal", True) and getattr(c, "steps", True)]


def part(case, array, start, stop):
    """Steps start to stop of x or y."""
    return array[start:stop] if case.time_axis == 0 else array[:, start:stop]


def remaining(case, start, stop):
    """The lengths of the rows within these steps."""
    return None if case.lengths is None else np.clip(np.array(case.lengths) - start, 0, stop - start)


@st.composite
def cuts(draw, steps):
    """Where to cut a sequence, empty chunks included."""
    inner = sorted(draw(st.lists(st.integers(0, steps), max_size=4)))
    return list(zip([0, *inner], [*inner, steps], strict=True))


@pytest.mark.parametrize("configuration", CAUSAL, ids=lambda c: c.name)
@given(data=st.data())
def test_chunks_equal_the_whole(configuration, data):
    # More than 16 steps: the engine's own chunks must not show either.
    case = data.draw(cases(configuration, bidirectional=False, steps=data.draw(st.integers(0, 40))))
    model = case.build()
    whole = model.record(case.x, **case.given, training=False)
    state = case.state
    for start, stop in data.draw(cuts(case.steps)):
        x = part(case, case.x, start, stop)
        chunk = model.record(x, state, remaining(case, start, stop), training=False)
        assert_same_bits(chunk.y, part(case, whole.y, start, stop), f"y of steps {start} to {stop}")
        state = chunk.state
    for got, expected in zip(flat(state), flat(whole.state), strict=True):
        assert_same_bits(got, expected, "final state")


@pytest.mark.parametrize("configuration", CAUSAL, ids=lambda c: c.name)
@given(data=st.data())
def test_single_steps_equal_the_sequence(configuration, data):
    case = data.draw(cases(configuration, bidirectional=False, lengths=None, unbatched=False))
    model = case.build()
    whole = model.record(case.x, **case.given, training=False)
    stream = model.stream(batch_size=case.batch)
    if case.state is not None:
        stream.state = case.state
    for t in range(case.steps):
        y = stream.step(np.take(case.x, t, case.time_axis))
        assert_same_bits(y, np.take(whole.y, t, case.time_axis), f"y of step {t}")
    for got, expected in zip(flat(stream.state), flat(whole.state), strict=True):
        assert_same_bits(got, expected, "final state")


@pytest.mark.parametrize("configuration", CAUSAL, ids=lambda c: c.name)
@given(data=st.data())
def test_several_steps_in_a_call_equal_the_sequence(configuration, data):
    # More than 64 steps: a stream's own blocks must not show either.
    steps = data.draw(st.integers(0, 80))
    case = data.draw(cases(configuration, bidirectional=False, lengths=None, unbatched=False, steps=steps))
    model = case.build()
    whole = model.record(case.x, **case.given, training=False)
    stream = model.stream(batch_size=case.batch)
    if case.state is not None:
        stream.state = case.state
    x, y = (np.moveaxis(array, case.time_axis, 0) for array in (case.x, whole.y))
    for start, stop in data.draw(cuts(case.steps)):
        assert_same_bits(stream.steps(x[start:stop]), y[start:stop], f"y of steps {start} to {stop}")
    for got, expected in zip(flat(stream.state), flat(whole.state), strict=True):
        assert_same_bits(got, expected, "final state")


@pytest.mark.parametrize("configuration", CAUSAL, ids=lambda c: c.name)
@given(data=st.data())
def test_a_stream_of_one_row_takes_vectors_and_starts_again(configuration, data):
    case = data.draw(cases(configuration, bidirectional=False, lengths=None, unbatched=False, initial=False))
    model = case.build()
    row = np.take(case.x, 0, case.batch_axis)
    whole = model.record(np.expand_dims(row, case.batch_axis), training=False)
    stream = model.stream()
    for _ in range(2):
        for t in range(case.steps):
            x_t = int(row[t]) if row.ndim == 1 else row[t]
            expected = np.take(np.take(whole.y, 0, case.batch_axis), t, 0)
            assert_same_bits(stream.step(x_t), expected, f"y of step {t}")
        stream.reset()


@pytest.mark.parametrize("configuration", [c for c in CELLS if c.step], ids=lambda c: c.name)
@given(data=st.data())
def test_the_one_step_class_equals_the_layer(configuration, data):
    """rnnrs.LSTMCell and its like, with PyTorch's names of a cell's parameters."""
    case = data.draw(
        cases(configuration, bidirectional=False, num_layers=1, lengths=None, unbatched=False, residual=False)
    )
    model = case.build()
    cell = getattr(rnnrs, configuration.step)(case.input_size, case.hidden_size, **case.options, dtype=case.dtype)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in model.state_dict().items()})
    whole = model.record(case.x, **case.given, training=False)
    state = case.state
    if state is not None:
        state = like(state, [s[0] for s in flat(state)])
    for t in range(case.steps):
        state = cell(np.take(case.x, t, case.time_axis), state)
        assert_same_bits(flat(state)[0], np.take(whole.y, t, case.time_axis), f"h of step {t}")
        alone = cell(np.take(case.x, t, case.time_axis)[0], like(state, [s[0] for s in flat(state)]))
        assert flat(alone)[0].shape == flat(state)[0].shape[1:]
    if case.steps:
        for got, expected in zip(flat(state), flat(whole.state), strict=True):
            assert_same_bits(got, expected[0], "final state")


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_random_draws_belong_to_the_absolute_position(configuration, data):
    """With zoneout and dropout between layers chunks equal the whole, when each is told where it starts."""
    fixed = data.draw(random_options(configuration)) | {"unbatched": False, "bidirectional": False}
    case = data.draw(cases(configuration, **fixed, steps=data.draw(st.integers(0, 20))))
    model = case.build()
    core = model._native
    seed = data.draw(st.integers(0, 2**64 - 1))
    state = None if case.state is None else model._form.unpack(case.state, case.dtype, case.batch)
    lengths = case.given["lengths"]
    whole, final = core.forward(case.x, state, lengths, case.batch_first, True, seed, 1000)
    for start, stop in data.draw(cuts(case.steps)):
        x = part(case, case.x, start, stop)
        y, state = core.forward(x, state, remaining(case, start, stop), case.batch_first, True, seed, 1000 + start)
        assert_same_bits(y, part(case, whole, start, stop), f"y of steps {start} to {stop}")
    for got, expected in zip(state, final, strict=True):
        assert_same_bits(got, expected, "final state")
