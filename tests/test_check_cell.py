"""check_cell passes what is right, says what is broken, and says what it left out."""

import numpy as np
import pytest

import rnnrs
from rnnrs import _laws, ops
from rnnrs.testing import LawBroken, check_cell
from test_own_cell import MGU, mgu


class Stopped(rnnrs.Cell):
    def __init__(self):
        super().__init__(input=2, state={"h": 2})

    def step(self, x, h):
        return ops.tanh(ops.stop(x) + h)


class Spiking(rnnrs.Cell):
    """A leaky integrate-and-fire unit."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input=input_size, state={"u": hidden_size})

    def step(self, x, u):
        u = 0.9 * u + self.linear("in", x)
        spike = ops.step(u - 1.0)
        return spike, u * (1 - spike)


def found(report):
    return {result.number: result.note for result in report.results}


def test_a_report():
    report = check_cell(MGU(2, 3), mgu, cases=2, simd=False, verbose=False)
    assert [result.number for result in report.results] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert all(result.passed and result.cases == 2 for result in report.results)
    lines = str(report).splitlines()
    assert lines[0] == "MGU(2, 3)"
    assert len(lines) == 2 + 9
    assert lines[2].split()[:2] == ["1", "gradients"]
    assert 0 < report.results[0].deviation < 1e-6


def test_what_is_left_out_is_said():
    notes = found(check_cell(Spiking(2, 3), cases=1, simd=False, verbose=False))
    assert notes[1] == "left out: ops.step has a surrogate gradient"
    assert notes[2] == "left out: no reference"
    assert set(notes.values()) - {notes[1], notes[2]} == {"passed"}
    notes = found(check_cell(Stopped(), cases=1, simd=False, gradients=False, verbose=False))
    assert notes[1] == "left out: gradients=False"


def test_other_gradients_break_the_first_law():
    with pytest.raises(LawBroken, match=r"BROKEN: gradient of x: expected central differences.*gradients=False"):
        check_cell(Stopped(), cases=1, simd=False, verbose=False)


def test_another_formula_breaks_the_second():
    def wrong(p, x, h):
        return tuple(1.001 * value for value in mgu(p, x, h))

    with pytest.raises(LawBroken, match="BROKEN: y of step 0"):
        check_cell(MGU(2, 3), wrong, cases=1, simd=False)
    with pytest.raises(LawBroken, match=r"expected shape \(\d, 4\)"):
        check_cell(MGU(2, 3), lambda p, x, h: (np.zeros((len(x), 4)), h), cases=1, simd=False)


def test_what_float32_cannot_hold_breaks_the_tenth():
    class Wide(rnnrs.Cell):
        def __init__(self):
            super().__init__(input=2, state={"h": 2})

        def step(self, x, h):
            return ops.sin(1e4 * (x + h))

    with pytest.raises(LawBroken, match="BROKEN: float32"):
        check_cell(Wide(), simd=False, gradients=False)


@pytest.mark.parametrize("law", ["steps", "rows_threads_paths", "lengths", "directions", "checkpoints", "files"])
def test_a_bit_that_differs_is_seen(law, monkeypatch):
    """Each law that holds to the bit fails when what it compares differs in the last bit of the last element."""
    honest = _laws.same_bits

    def dishonest(what, a, b):
        b = np.array(b)
        b.flat[-1:] = np.nextafter(b.flat[-1:], np.inf)
        honest(what, a, b)

    monkeypatch.setattr(_laws, "same_bits", dishonest)
    case = _laws.Case(MGU(2, 3), 1, lambda r, s: r.normal(size=s), lambda r, s: r.normal(size=s), None, False)
    with pytest.raises(LawBroken, match="expected the same bits"):
        getattr(_laws, law)(case)


def test_inputs_and_states_may_be_the_users():
    class Positive(rnnrs.Cell):
        def __init__(self):
            super().__init__(input=2, state={"h": 2})

        def step(self, x, h):
            return ops.log(x) + 0.5 * ops.sqrt(ops.square(h) + 1)

    drawn = []

    def inputs(rng, shape):
        drawn.append(shape)
        return rng.uniform(0.5, 2.0, shape)

    report = check_cell(Positive(), cases=2, simd=False, inputs=inputs, states=lambda rng, shape: np.ones(shape))
    assert drawn
    assert report.results[0].passed
    with pytest.raises(LawBroken):
        check_cell(Positive(), cases=4, simd=False, verbose=False)


def test_what_is_no_cell_is_refused():
    with pytest.raises(rnnrs.DtypeError, match="got GRU"):
        check_cell(rnnrs.GRU(2, 3))
    with pytest.raises(rnnrs.InvalidValueError, match="cases"):
        check_cell(MGU(2, 3), cases=0)
