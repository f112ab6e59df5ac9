"""Law 7: checkpointed BPTT equals plain BPTT, to the bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import EVERY, assert_same_gradients, assert_same_tape, cases, random_options
from configurations import CELLS

LONG = st.integers(0, 100)
EVERY_K = st.sampled_from([1, 16, 17, 32, 48, 1000])


def compare(model, case, every, **how):
    plain = model.record(case.x, **case.given, **how)
    kept = model.record(case.x, **case.given, **how, checkpoint=every)
    assert_same_tape(plain, kept)
    dy, dstate = case.cotangents(plain)
    assert_same_gradients(plain.backward(dy, dstate), kept.backward(dy, dstate))
    assert_same_gradients(plain.backward(dy), kept.backward(dy), "again:")


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_checkpointed_equals_plain(configuration, data):
    case = data.draw(cases(configuration, steps=data.draw(LONG)))
    compare(case.build(), case, data.draw(EVERY_K), training=False)


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_recomputing_draws_the_same_again(configuration, data):
    case = data.draw(cases(configuration, steps=data.draw(LONG), **data.draw(random_options(configuration))))
    compare(case.build(), case, data.draw(EVERY_K), training=True, seed=data.draw(st.integers(0, 2**64 - 1)))
