"""Dropout and zoneout draw what they should: what is dropped, how often, for how long, and how the rest is scaled."""

import numpy as np
import pytest

import rnnrs

BATCH, UNITS = 40, 50
DRAWS = BATCH * UNITS


def near(share, p, draws):
    """Within five standard deviations of a binomial share."""
    return abs(share - p) < 5 * np.sqrt(p * (1 - p) / draws)


def net(hidden=UNITS, **options):
    """An Elman net of relus whose weights are the identity: what goes in at one step comes out at the next."""
    model = rnnrs.RNN(hidden, hidden, nonlinearity="relu", bias=False, dtype="float64", seed=0, **options)
    model.load_state_dict({name: np.eye(hidden) for name in model.state_dict()})
    return model


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_recurrent_dropout_is_one_mask_a_sequence(p):
    """h(t) = (m / keep) h(t-1), the same m at every step (Gal and Ghahramani 2016)."""
    states = (
        net(recurrent_dropout=p).record(np.zeros((4, BATCH, UNITS)), np.ones((1, BATCH, UNITS)), seed=1).states[:, 0]
    )
    kept = states[0] != 0
    assert near(1 - kept.mean(), p, DRAWS)
    for t in range(4):
        np.testing.assert_allclose(states[t], kept * (1 - p) ** -(t + 1.0), rtol=1e-12)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_zoneout_keeps_a_unit_for_a_step(p):
    """Each step keeps each unit's old value with probability p, drawn anew: after t steps p^t are as they were."""
    model = rnnrs.RNN(1, UNITS, dtype="float64", zoneout=p)
    values = {name: 0 * value for name, value in model.state_dict().items()}
    model.load_state_dict(values | {"bias_ih_l0": np.full(UNITS, 1.0)})
    states = model.record(np.zeros((3, BATCH, 1)), np.full((1, BATCH, UNITS), -1.0), seed=2).states[:, 0]
    for t in range(3):
        old = states[t] == -1
        assert near(old.mean(), p ** (t + 1), DRAWS)
        np.testing.assert_allclose(states[t][~old], np.tanh(1.0), rtol=1e-12)


def test_zoneout_of_h_and_c_are_apart():
    model = rnnrs.LSTM(1, UNITS, dtype="float64", zoneout=0.5, seed=3)
    h, c = model.record(np.ones((1, BATCH, 1)), (np.full((1, BATCH, UNITS), 9.0),) * 2, seed=3).state
    kept_h, kept_c = h == 9.0, c == 9.0
    assert near(kept_h.mean(), 0.5, DRAWS)
    assert near(kept_c.mean(), 0.5, DRAWS)
    assert near((kept_h == kept_c).mean(), 0.5, DRAWS)


@pytest.mark.parametrize("p", [0.1, 0.6])
def test_dropout_between_layers(p):
    """The second layer sees the first's output, each unit and step dropped by itself, the others scaled by 1 / keep."""
    model = net(num_layers=2, dropout=p)
    weights = model.state_dict()
    model.load_state_dict(weights | {name: 0 * value for name, value in weights.items() if "_hh_" in name})
    y = model.record(np.ones((6, BATCH, UNITS)), seed=4).y
    kept = y != 0
    assert near(1 - kept.mean(), p, y.size)
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-12)
    # No two steps, rows or units share their draws: neighbours agree as often as chance has it.
    for axis in range(3):
        agree = (np.diff(kept.astype(int), axis=axis) == 0).mean()
        assert near(agree, p * p + (1 - p) ** 2, y.size / 2)


def test_the_layer_dropout():
    """rnnrs.Dropout in a chain."""
    model = rnnrs.Sequential(rnnrs.Linear(UNITS, UNITS, bias=False), rnnrs.Dropout(0.3), dtype="float64")
    model.load_state_dict({"0.weight": np.eye(UNITS)})
    y = model.record(np.ones((BATCH, 5, UNITS)), seed=5).y
    assert near((y == 0).mean(), 0.3, y.size)
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-12)


def test_two_dropout_layers_draw_apart():
    model = rnnrs.Sequential(
        rnnrs.Linear(UNITS, UNITS, bias=False), rnnrs.Dropout(0.5), rnnrs.Dropout(0.5), dtype="float64"
    )
    model.load_state_dict({"0.weight": np.eye(UNITS)})
    y = model.record(np.ones((BATCH, 5, UNITS)), seed=6).y
    assert near((y != 0).mean(), 0.25, y.size)


def test_layers_and_directions_draw_apart():
    model = rnnrs.GRU(1, UNITS, num_layers=2, bidirectional=True, zoneout=0.5, seed=7)
    states = model.record(np.ones((1, BATCH, 1)), np.full((4, BATCH, UNITS), 9.0), seed=7).state
    kept = states == 9.0
    for a in range(4):
        for b in range(a):
            assert near((kept[a] == kept[b]).mean(), 0.5, DRAWS)


@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.3}, {"zoneout": 0.3}, {"dropout": 0.3, "num_layers": 2}])
def test_a_seed_decides_and_evaluation_draws_nothing(options):
    model = rnnrs.LSTM(3, 8, seed=8, **options)
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    first, again, other = (model.record(x, seed=seed).y for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    calm = [model.record(x, training=False, seed=seed).y for seed in (1, 2)]
    np.testing.assert_array_equal(calm[0], calm[1])
    np.testing.assert_array_equal(calm[0], model(x)[0])
    assert (calm[0] != first).any()
    # Without a seed of its own a call takes the model's next: two calls differ, two equal models agree.
    twins = [rnnrs.LSTM(3, 8, seed=9, **options) for _ in range(2)]
    drawn = [[twin.record(x).y for _ in range(2)] for twin in twins]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0][0] != drawn[0][1]).any()


def test_a_seed_makes_a_model():
    one, same, other, fresh = (rnnrs.LSTM(3, 8, seed=seed).state_dict() for seed in (1, 1, 2, None))
    for name, value in one.items():
        np.testing.assert_array_equal(value, same[name])
        assert (value != other[name]).any()
        assert (value != fresh[name]).any()


def test_the_forget_bias_is_set_and_nothing_else():
    plain, set_ = (rnnrs.LSTM(2, 4, seed=1, forget_bias=b).state_dict() for b in (0.0, 1.5))
    for name in plain:
        difference = set_[name] - plain[name]
        expected = np.zeros_like(difference)
        if name == "bias_ih_l0":
            expected[4:8] = 1.5
        np.testing.assert_allclose(difference, expected, atol=1e-6)
