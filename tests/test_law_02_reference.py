"""Law 2: forward equals an independent NumPy version in float64, written from the papers' equations (rtol 1e-10)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import EVERY, assert_same_bits, cases, flat
from configurations import CELLS, Configuration


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_forward_equals_the_reference(configuration, data):
    case = data.draw(cases(configuration, dtype="float64"))
    model = case.build()
    tape = model.record(case.x, **case.given, training=False)
    y, state, _ = case.reference(model)
    np.testing.assert_allclose(tape.y, y, rtol=1e-10, atol=1e-13)
    assert len(flat(tape.state)) == len(state)
    for got, expected in zip(flat(tape.state), state, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_a_call_is_a_recording_without_a_tape(configuration, data):
    """The call, record, and states agree to the bit; out of training dropout does nothing."""
    case = data.draw(cases(configuration))
    model = case.build()
    tape = model.record(case.x, **case.given, training=False)
    if isinstance(configuration, Configuration):
        y, state = model(case.x, **case.given)
        for got, expected in zip(flat(state), flat(tape.state), strict=True):
            assert_same_bits(got, expected, "state")
    else:
        y = model(case.x, **case.given)
    assert_same_bits(y, tape.y, "y")
    for got, expected in zip(flat(model.states(case.x, **case.given)), flat(tape.states), strict=True):
        assert_same_bits(got, expected, "states")
        assert got.shape[0] == case.steps


@pytest.mark.parametrize("configuration", [c for c in EVERY if getattr(c, "causal", True)], ids=lambda c: c.name)
@given(data=st.data())
def test_states_of_all_steps(configuration, data):
    """The state after step t is the final state of the first t steps; beyond a row's length it stays."""
    case = data.draw(cases(configuration, bidirectional=False))
    model = case.build()
    states = flat(model.states(case.x, **case.given))
    for t in range(case.steps):
        x = case.x[: t + 1] if case.time_axis == 0 else case.x[:, : t + 1]
        lengths = None if case.lengths is None else np.minimum(case.lengths, t + 1)
        tape = model.record(x, case.state, lengths, training=False)
        for got, expected in zip(states, flat(tape.state), strict=True):
            assert_same_bits(got[t], expected, f"state after step {t}")


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_a_stack_is_its_layers_one_after_the_other(configuration, data):
    """To the bit: the sublayers run alone, each on what the last one gave."""
    case = data.draw(cases(configuration, num_layers=3, residual=False, unbatched=False))
    model = case.build()
    tape = model.record(case.x, **case.given, training=False)
    directions = 2 if case.bidirectional else 1
    x, weights = case.x, model.state_dict()
    for layer in range(case.num_layers):
        one = case.but(num_layers=1, input_size=x.shape[-1])
        single = one.make(dtype=case.dtype)
        single.load_state_dict({name: weights[name.replace("_l0", f"_l{layer}")] for name in single.state_dict()})
        rows = slice(layer * directions, (layer + 1) * directions)
        state = None
        if case.state is not None:
            state = tuple(s[rows] for s in flat(case.state))
            state = state if len(state) > 1 else state[0]
        part = single.record(x, state, case.given["lengths"], training=False)
        for got, whole in zip(flat(part.state), flat(tape.state), strict=True):
            assert_same_bits(got, whole[rows], f"state of layer {layer}")
        x = part.y
    assert_same_bits(x, tape.y, "y")
