"""Law 4: a row in a batch equals the row alone; any thread count; any SIMD path: all to the bit."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnrs
import same_bits
from cases import EVERY, assert_same_bits, cases, flat, like, random_options
from configurations import CELLS

SCRIPT = Path(same_bits.__file__)


def paths():
    """The SIMD paths this processor has, from the plainest to the best."""
    best = rnnrs._core.simd()
    return {
        "avx512": ["scalar", "avx2", "avx512"],
        "avx2": ["scalar", "avx2"],
        "neon": ["scalar", "neon"],
        "scalar": ["scalar"],
    }[best]


def differing(some, all_):
    assert some.keys() <= all_.keys()
    return [name for name in some if some[name] != all_[name]]


@pytest.fixture(scope="module")
def here(at_length):
    """The results of this process, on the best path, with one thread."""
    before = rnnrs.get_num_threads()
    rnnrs.set_num_threads(1)
    found = same_bits.results(at_length, large=True)
    rnnrs.set_num_threads(before)
    return found


@pytest.mark.parametrize("path", paths())
def test_every_simd_path_gives_the_same_bits(path, here, run_script, at_length, passed_cases):
    arguments = ["every-size"] if at_length else []
    printed = json.loads(run_script(SCRIPT, *arguments, environment={"RNNRS_SIMD": path}, timeout=1200))
    assert printed["simd"] == path
    assert not differing(printed["results"], here)
    passed_cases(same_bits.compared(at_length))


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_every_number_of_threads_gives_the_same_bits(threads, here, at_length, passed_cases):
    before = rnnrs.get_num_threads()
    try:
        rnnrs.set_num_threads(threads)
        assert rnnrs.get_num_threads() == threads
        assert not differing(same_bits.results(at_length, large=True), here)
        passed_cases(same_bits.compared(at_length, large=True))
    finally:
        rnnrs.set_num_threads(before)


def test_the_number_of_threads_from_the_environment(run_script):
    printed = run_script("import rnnrs; print(rnnrs.get_num_threads())", environment={"RNNRS_NUM_THREADS": "3"})
    assert printed.strip() == "3"


def test_an_unknown_path_is_an_error_and_not_ignored(run_script):
    code = "import numpy, rnnrs; rnnrs.LSTM(2, 3)(numpy.zeros((2, 1, 2)))"
    done = run_script(code, environment={"RNNRS_SIMD": "mmx"}, check=False)
    assert done.returncode != 0
    assert "mmx" in done.stderr
    assert "panicked" not in done.stderr


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_a_row_in_a_batch_equals_the_row_alone(configuration, data):
    case = data.draw(cases(configuration, unbatched=False))
    model = case.build()
    batch = model.record(case.x, **case.given, training=False)
    dy, dstate = case.cotangents(batch)
    gradients = batch.backward(dy, dstate)
    axis = case.batch_axis
    for b in range(case.batch):
        state = None if case.state is None else like(case.state, [s[:, b : b + 1] for s in flat(case.state)])
        lengths = None if case.lengths is None else np.array(case.lengths)[b : b + 1]
        alone = model.record(np.take(case.x, [b], axis), state, lengths, training=False)
        assert_same_bits(alone.y, np.take(batch.y, [b], axis), f"y of row {b}")
        for got, expected in zip(flat(alone.state), flat(batch.state), strict=True):
            assert_same_bits(got, expected[:, b : b + 1], f"state of row {b}")
        back = alone.backward(
            np.take(dy, [b], axis), None if dstate is None else like(dstate, [s[:, b : b + 1] for s in flat(dstate)])
        )
        if back.x is not None:
            assert_same_bits(back.x, np.take(gradients.x, [b], axis), f"dx of row {b}")
        for got, expected in zip(flat(back.state), flat(gradients.state), strict=True):
            assert_same_bits(got, expected[:, b : b + 1], f"dstate of row {b}")


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_unbatched_is_a_batch_of_one(configuration, data):
    case = data.draw(cases(configuration, unbatched=True))
    model = case.build()
    bare = model.record(case.x, case.state, training=False)
    axis = 0 if case.batch_first else 1
    state = None if case.state is None else like(case.state, [s[:, None] for s in flat(case.state)])
    batch = model.record(np.expand_dims(case.x, axis), state, training=False)
    assert_same_bits(np.expand_dims(bare.y, axis), batch.y, "y")
    for got, expected in zip(flat(bare.state), flat(batch.state), strict=True):
        assert_same_bits(got[:, None], expected, "state")
    dy, dstate = case.cotangents(bare)
    a = bare.backward(dy, dstate)
    b = batch.backward(np.expand_dims(dy, axis), like(dstate, [s[:, None] for s in flat(dstate)]))
    assert_same_bits(np.expand_dims(a.x, axis), b.x, "dx")
    for name in a.params:
        assert_same_bits(a.params[name], b.params[name], f"d{name}")


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_batch_first_is_a_matter_of_layout(configuration, data):
    case = data.draw(cases(configuration, batch_first=False, unbatched=False))
    turned = case.but(batch_first=True)
    a, b = case.build(), turned.build()
    one, other = a.record(case.x, **case.given, training=False), b.record(turned.x, **case.given, training=False)
    assert_same_bits(one.y.swapaxes(0, 1), other.y, "y")
    dy, dstate = case.cotangents(one)
    ga, gb = one.backward(dy, dstate), other.backward(dy.swapaxes(0, 1), dstate)
    assert_same_bits(ga.x.swapaxes(0, 1), gb.x, "dx")
    for name in ga.params:
        assert_same_bits(ga.params[name], gb.params[name], f"d{name}")


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
@given(data=st.data())
def test_rows_that_follow_do_not_change_what_a_row_draws(configuration, data):
    """In training a row's draws are its own: the first rows of a batch are what they are in a smaller batch."""
    case = data.draw(cases(configuration, **data.draw(random_options(configuration)), unbatched=False))
    model = case.build()
    whole = model.record(case.x, **case.given, seed=3)
    axis, n = case.batch_axis, data.draw(st.integers(1, case.batch))
    state = None if case.state is None else like(case.state, [s[:, :n] for s in flat(case.state)])
    lengths = None if case.lengths is None else np.array(case.lengths)[:n]
    first = model.record(np.take(case.x, range(n), axis), state, lengths, seed=3)
    assert_same_bits(first.y, np.take(whole.y, range(n), axis), "y")
