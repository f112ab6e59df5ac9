"""Parity with torch.nn in every run: what make_fixture.py wrote, against rnnrs and against reference/."""

import json
from pathlib import Path

import numpy as np
import pytest

import parity
from reference import elman, gru, linear, losses, lstm, optimizers, sequence

FIXTURE = np.load(Path(__file__).with_name("fixture.npz"))
INDEX = json.loads(str(FIXTURE["index"]))
REFERENCE = {"RNN": elman, "LSTM": lstm, "GRU": gru}


def entries(kind):
    """Each entry with its arrays, for parametrize."""
    found = []
    for k, description in enumerate(INDEX[kind]):
        prefix = f"{kind}/{k}/"
        arrays = {name.removeprefix(prefix): FIXTURE[name] for name in FIXTURE.files if name.startswith(prefix)}
        kind_of = description if isinstance(description, str) else description["kind"]
        found.append(pytest.param(description, arrays, id=f"{kind_of}-{k}"))
    return found


@pytest.mark.parametrize(("configuration", "arrays"), entries("recurrent"))
def test_recurrent(configuration, arrays):
    parity.check_recurrent(configuration, arrays)


@pytest.mark.parametrize(("description", "arrays"), entries("optimizers"))
def test_optimizer(description, arrays):
    parity.check_trajectory(description, arrays)


@pytest.mark.parametrize(("kind", "arrays"), entries("losses"))
def test_loss(kind, arrays):
    parity.check_loss(kind, arrays)


@pytest.mark.parametrize(("configuration", "arrays"), entries("recurrent"))
def test_the_reference_agrees_too(configuration, arrays):
    c = configuration
    weights = {name.removeprefix("weight/"): value for name, value in arrays.items() if name.startswith("weight/")}
    options = {name: c[name] for name in ("nonlinearity", "proj_size") if name in c}
    state = [arrays[f"state{k}"] for k in range(2 if c["kind"] == "LSTM" else 1)]
    x, y = (arrays[name].swapaxes(0, 1) if c["batch_first"] else arrays[name] for name in ("x", "y"))
    got, final, _ = sequence.run(
        REFERENCE[c["kind"]],
        weights,
        options,
        c["hidden_size"],
        x,
        state,
        c.get("lengths"),
        c["num_layers"],
        c["bidirectional"],
    )
    parity.close(got, y, "y")
    for k, s in enumerate(final):
        parity.close(s, arrays[f"final{k}"], f"final state {k}")


@pytest.mark.parametrize(("description", "arrays"), entries("optimizers"))
def test_the_reference_optimizer_agrees_too(description, arrays):
    options = dict(description)
    kind = options.pop("kind")
    if "betas" in options:
        options["beta1"], options["beta2"] = options.pop("betas")
    weight, bias = (getattr(optimizers, kind)(**options) for _ in range(2))
    w, b = arrays["weight"][0], arrays["bias"][0]
    for update, dy in enumerate(arrays["dy"]):
        w, b = weight.step(w, dy.T), bias.step(b, dy.sum(0))
        parity.close(w, arrays["weight"][update + 1], "weight")
        parity.close(b, arrays["bias"][update + 1], "bias")


@pytest.mark.parametrize(("kind", "arrays"), entries("losses"))
def test_the_reference_loss_agrees_too(kind, arrays):
    y = linear.linear(arrays["x"], arrays["weight"], arrays["bias"])
    value, _, dy = losses.weighted(kind, y, arrays["targets"])
    parity.close(value, arrays["value"], "loss")
    parity.close(np.einsum("ntf,nti->fi", dy, arrays["x"]), arrays["grad/weight"], "gradient of the weight")
