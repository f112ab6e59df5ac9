"""What parameters start from: U(±1/√H) as in PyTorch, or what a cell's paper draws; and the bound that IndRNN keeps."""

import numpy as np
import pytest

import rnnrs
from cases import CellCase
from configurations import CELLS

# What does not start U(±1/√H), by cell: tested one by one below.
OTHERWISE = {
    "second_order": {"weight"},
    "indrnn": {"weight_hh", "weight_ln", "bias_ln"},
    "ctrnn": {"log_tau"},
    "lru": {"nu_log", "theta_log", "gamma_log", "B_re", "B_im", "C_re", "C_im", "D"},
}


def fresh(cell, hidden=400, inputs=30, seed=0, **options):
    """The parameters of one layer as they start, under the cell's own names."""
    described = getattr(rnnrs.cells, cell)(inputs, hidden, **options)
    values = rnnrs.Recurrent(described, dtype="float64", seed=seed).state_dict()
    return {name.removesuffix("_l0"): value for name, value in values.items()}


def uniform(values, low, high):
    """Within the bounds, and spread over them as far as so many draws are."""
    assert values.min() >= low
    assert values.max() <= high
    spread = (high - low) / np.sqrt(12 * values.size)
    assert abs(values.mean() - (low + high) / 2) < 5 * spread
    assert abs(values.std() - (high - low) / np.sqrt(12)) < 5 * spread


def normal(values, deviation):
    assert abs(values.mean()) < 5 * deviation / np.sqrt(values.size)
    assert abs(values.std() / deviation - 1) < 5 / np.sqrt(2 * values.size)


@pytest.mark.parametrize("configuration", [c for c in CELLS if c.cell != "lru"], ids=lambda c: c.name)
def test_parameters_start_uniformly_by_the_hidden_size(configuration):
    sizes = {"input_size": 30, "hidden_size": configuration.hidden_size(64)}
    case = CellCase(configuration=configuration, **sizes)
    values = case.make(dtype="float64", seed=1).state_dict()
    bound = 1 / np.sqrt(case.hidden_size)
    drawn = 0
    for name, value in values.items():
        own = name.removesuffix("_l0")
        normed = own.startswith("ln_")
        if normed:
            np.testing.assert_array_equal(value, 1.0 if "weight" in own else 0.0)
        elif own == "bias_ih" and "forget_bias" in configuration.options:
            uniform(np.delete(value, np.s_[case.hidden_size : 2 * case.hidden_size]), -bound, bound)
        elif own not in OTHERWISE.get(configuration.cell, ()):
            uniform(value, -bound, bound)
            drawn += 1
    assert drawn


def test_a_bilinear_weight_starts_by_what_it_sums_over():
    bound = 1 / np.sqrt(40 * 5)
    uniform(fresh("SecondOrder", 40, 5)["weight"], -bound, bound)


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({}, 0.0, 1.0),
        ({"steps": 10}, 0.0, 2 ** (1 / 10)),
        ({"steps": 10, "remember": True}, 2 ** (-1 / 10), 2 ** (1 / 10)),
    ],
)
def test_independent_units_start_within_their_bound(options, low, high):
    """Li et al. 2018, sections 3.2 and 4.1: what relus keep over T steps is at most doubled, or at least halved."""
    uniform(fresh("IndRNN", **options)["weight_hh"], low, high)
    p = fresh("IndRNN", **options, layer_norm=True)
    np.testing.assert_array_equal(p["weight_ln"], 1.0)
    np.testing.assert_array_equal(p["bias_ln"], 0.0)


@pytest.mark.parametrize("optimizer", [rnnrs.optim.SGD(3.0), rnnrs.optim.Adam(0.3)], ids=["SGD", "Adam"])
def test_independent_units_stay_within_their_bound(optimizer):
    rng = np.random.default_rng(0)
    cell = rnnrs.cells.IndRNN(3, 20, steps=6)
    model = rnnrs.Recurrent(cell, num_layers=2, bidirectional=True, dtype="float64", seed=0)
    x, y = rng.normal(size=(6, 4, 3)), 9.0 * rng.normal(size=(6, 4, 40))
    gamma, most = 2 ** (1 / 6), 0.0
    before = model.state_dict()
    for _ in range(20):
        _, gradients = model.value_and_grad(x, y, loss="mse")
        optimizer.step(model, gradients)
        after = model.state_dict()
        for name, value in after.items():
            if name.startswith("weight_hh"):
                assert np.abs(value).max() <= gamma
                most = max(most, np.abs(value).max())
    assert most == gamma  # the bound was met, so something was kept by it
    assert all((after[name] != before[name]).any() for name in before)


def test_time_constants_start_where_they_are_told():
    p = fresh("CTRNN", 7, time_constant=3.5, learn_time_constants=True)
    np.testing.assert_allclose(p["log_tau"], np.log(3.5), rtol=1e-15)


def test_eigenvalues_start_on_a_ring():
    """Orvieto et al. 2023, lemma 3.2: uniform over the ring's area, so |λ|² is uniform; and the phase is."""
    p = fresh("LRU", 4000, 50, r_min=0.4, r_max=0.9, max_phase=1.5)
    size = np.exp(-np.exp(p["nu_log"]))
    uniform(size**2, 0.4**2 - 1e-12, 0.9**2 + 1e-12)
    uniform(np.exp(p["theta_log"]), 0.0, 1.5)
    np.testing.assert_array_equal(p["gamma_log"], 0.0)
    for name in ("B_re", "B_im"):
        normal(p[name], 1 / np.sqrt(2 * 50))
    for name in ("C_re", "C_im"):
        normal(p[name], 1 / np.sqrt(4000))
    normal(p["D"], 1.0)
    assert p["D"].shape == (50,)
    assert fresh("LRU", 8, 3, output_size=2)["D"].shape == (2, 3)
