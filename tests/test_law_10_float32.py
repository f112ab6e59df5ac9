"""Law 10: float32 agrees with float64 within a stated bound.

|a - b| ≤ 2⁻¹⁵ (1 + |b|) for y and the states over up to nine steps, and for the gradients by their largest element:
|a - b| ≤ 2⁻¹⁵ (1 + max |b|). A layer norm divides by the spread of its input, which may be small, and so enlarges an
error by up to the gain over that spread: there the bound is 2⁻⁹.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import rnnrs
from cases import EVERY, cases, flat, like
from configurations import CELLS


def bound(configuration):
    normed = configuration.options.get("layer_norm") if hasattr(configuration, "options") else True
    return 2.0**-9 if normed else 2.0**-15


def single_of(case, model):
    """The same model in float32."""
    single = case.make(dtype="float32")
    single.load_state_dict({name: value.astype(np.float32) for name, value in model.state_dict().items()})
    return single


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_float32_agrees_with_float64(configuration, data):
    case = data.draw(cases(configuration, dtype="float64"))
    double = case.build()
    # Weights and data that float32 holds exactly, so that the arithmetic alone is compared.
    double.load_state_dict({k: v.astype(np.float32).astype(np.float64) for k, v in double.state_dict().items()})
    assume(case.reference(double)[2] > 1e-3)
    single = single_of(case, double)
    kind = np.int64 if case.x.dtype.kind == "i" else np.float32
    x = case.x.astype(kind)
    state = case.state
    small = None if state is None else [s.astype(np.float32) for s in flat(state)]
    a = single.record(x, None if state is None else like(state, small), case.given["lengths"], training=False)
    wide = None if state is None else like(state, [s.astype(np.float64) for s in small])
    b = double.record(x.astype(case.x.dtype), wide, case.given["lengths"], training=False)
    assert a.y.dtype == np.float32
    assert b.y.dtype == np.float64
    limit = bound(configuration)
    for got, expected in zip([a.y, *flat(a.state)], [b.y, *flat(b.state)], strict=True):
        np.testing.assert_array_less(np.abs(got - expected), limit * (1 + np.abs(expected)))
    dy, dstate = case.cotangents(b)
    ga = a.backward(dy, dstate)
    gb = b.backward(
        dy.astype(np.float32), None if dstate is None else like(dstate, [s.astype(np.float32) for s in flat(dstate)])
    )
    pairs = [(ga.params[name], gb.params[name]) for name in gb.params] + list(
        zip(flat(ga.state), flat(gb.state), strict=True)
    )
    pairs += [(ga.x, gb.x)] if gb.x is not None else []
    for got, expected in pairs:
        assert got.dtype == np.float32
        largest = np.abs(expected).max(initial=0.0)
        np.testing.assert_array_less(np.abs(got - expected), limit * (1 + largest))


@pytest.mark.parametrize("configuration", [c for c in CELLS if c.layer], ids=lambda c: c.name)
def test_float32_is_the_default(configuration):
    model = getattr(rnnrs, configuration.layer)(2, 3, **configuration.options)
    assert model.dtype == "float32"
    assert all(value.dtype == np.float32 for value in model.state_dict().values())
    assert model(np.zeros((2, 1, 2)))[0].dtype == np.float32
