"""Law 1: gradients equal central differences in float64 (rtol 1e-6, atol 1e-8), where no corner is within 1e-3."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import differences
from cases import EVERY, assert_same_bits, cases, flat, like, random_options
from configurations import CELLS


def check(case, limit, training=False, seed=None):
    """Every gradient of sum(y dy) + sum(state dstate), the direction of each difference chosen at random."""
    rng = np.random.default_rng([case.seed, 7])
    model = case.build()
    x, lengths = case.x, case.given["lengths"]
    start = model.record(x, case.state, lengths, training=training, seed=seed)
    # An initial state of zeros is a state too: its gradient is wanted.
    state = case.state if case.state is not None else like(start.state, [0.0 * s for s in flat(start.state)])
    parts = flat(state)
    tape = model.record(x, state if parts else None, lengths, training=training, seed=seed)
    dy, dstate = case.cotangents(tape, rng)
    gradients = tape.backward(dy, dstate)
    weights = model.state_dict()
    assert set(gradients.params) == set(weights)

    def loss(x, parts):
        t = model.record(x, like(state, parts) if parts else None, lengths, training=training, seed=seed)
        return float((t.y * dy).sum()) + sum(
            float((s * d).sum()) for s, d in zip(flat(t.state), flat(dstate), strict=True)
        )

    def compare(what, gradient, value, at):
        assert gradient.shape == value.shape, what
        for d in differences.directions(value.shape, rng, limit) if value.size else ():
            expected = float((gradient * d).sum())
            good, estimate = differences.agrees(lambda h: at(value + h * d), expected)  # noqa: B023
            assert good, f"{what}: gradient {expected}, differences {estimate}, direction\n{d}"

    if gradients.x is not None:
        compare("dx", gradients.x, x, lambda v: loss(v, parts))
    for k, (g, s) in enumerate(zip(flat(gradients.state), parts, strict=True)):
        compare(f"dstate {k}", g, s, lambda v, k=k: loss(x, [*parts[:k], v, *parts[k + 1 :]]))
    for name, value in weights.items():

        def at(v, name=name):
            model.load_state_dict({name: v}, strict=False)
            return loss(x, parts)

        compare(f"d{name}", gradients.params[name], value, at)
        model.load_state_dict(weights)


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_gradients_equal_central_differences(configuration, data, at_length):
    case = data.draw(cases(configuration, dtype="float64", steps=data.draw(st.integers(0, 6))))
    assume(case.reference(case.build())[2] > 1e-3)
    check(case, limit=20 if at_length else 6)


@pytest.mark.parametrize("configuration", [c for c in CELLS if c.smooth], ids=lambda c: c.name)
@given(data=st.data())
def test_gradients_through_dropout_and_zoneout(configuration, data, at_length):
    fixed = data.draw(random_options(configuration))
    case = data.draw(cases(configuration, dtype="float64", steps=data.draw(st.integers(1, 6)), **fixed))
    check(case, limit=20 if at_length else 5, training=True, seed=data.draw(st.integers(0, 2**64 - 1)))


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_one_tape_gives_the_same_gradients_again_and_adds_up(configuration, data):
    """backward is linear in (dy, dstate), and calling it does not use the tape up."""
    case = data.draw(cases(configuration, dtype="float64"))
    tape = case.build().record(**case.given, x=case.x, training=False)
    dy, dstate = case.cotangents(tape)
    both, of_y = tape.backward(dy, dstate), tape.backward(dy)
    of_state = tape.backward(None, dstate) if dstate is not None else tape.backward(0 * dy)
    again = tape.backward(dy, dstate)
    for name in both.params:
        assert_same_bits(both.params[name], again.params[name], name)
        np.testing.assert_allclose(of_y.params[name] + of_state.params[name], both.params[name], rtol=1e-9, atol=1e-11)
