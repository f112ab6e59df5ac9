"""Parity with torch.nn over random configurations, where PyTorch is installed (make test-torch)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parity

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:LSTM with projections")]
torch = pytest.importorskip("torch")
torch_side = pytest.importorskip("torch_side")

import rnnrs  # noqa: E402
from reference import layer_norm  # noqa: E402


@pytest.mark.parametrize("repeat", range(25))
@given(seed=st.integers(0, 2**32 - 1))
def test_random_configurations(repeat, seed):
    rng = np.random.default_rng([seed, repeat])
    configuration = torch_side.random_configuration(rng)
    parity.check_recurrent(configuration, torch_side.recurrent(configuration, rng))


@pytest.mark.parametrize("entry", torch_side.OPTIMIZERS, ids=lambda e: e[0])
@given(seed=st.integers(0, 2**32 - 1))
def test_optimizers(entry, seed):
    kind, common, own = entry
    found = torch_side.trajectory(kind, common, own, np.random.default_rng(seed))
    parity.check_trajectory({"kind": kind} | common | own, found)


@pytest.mark.parametrize("kind", ["cross_entropy", "mse", "bernoulli"])
@given(seed=st.integers(0, 2**32 - 1))
def test_losses(kind, seed):
    parity.check_loss(kind, torch_side.loss(kind, np.random.default_rng(seed)))


@given(seed=st.integers(0, 2**32 - 1), features=st.integers(1, 8))
def test_layer_norm(seed, features):
    rng = np.random.default_rng(seed)
    net, peer = rnnrs.LayerNorm(features, dtype="float64"), torch.nn.LayerNorm(features).double()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=features)))
    net.load_state_dict(peer.state_dict())
    x, dy = rng.normal(size=(2, 5, features))
    leaf = torch.from_numpy(x).requires_grad_(True)
    y = peer(leaf)
    y.backward(torch.from_numpy(dy))
    tape = net.record(x)
    parity.close(tape.y, y.detach().numpy(), "y")
    parity.close(layer_norm.layer_norm(x, *(v.numpy() for v in peer.state_dict().values())), y.detach().numpy(), "y")
    gradients = tape.backward(dy)
    np.testing.assert_allclose(gradients.x, leaf.grad.numpy(), rtol=1e-7, atol=1e-9)
    for name, parameter in peer.named_parameters():
        np.testing.assert_allclose(gradients.params[name], parameter.grad.numpy(), rtol=1e-7, atol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), features=st.integers(1, 8))
def test_batch_norm(seed, features):
    rng = np.random.default_rng(seed)
    net, peer = rnnrs.BatchNorm(features, dtype="float64"), torch.nn.BatchNorm1d(features).double()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=features)))
    names = ("weight", "bias", "running_mean", "running_var")
    net.load_state_dict({name: peer.state_dict()[name] for name in names})
    for training in (True, True, False):
        peer.train(training)
        x, dy = rng.normal(size=(2, 5, features))
        leaf = torch.from_numpy(x).requires_grad_(True)
        y = peer(leaf)
        peer.zero_grad()
        y.backward(torch.from_numpy(dy))
        tape = net.record(x, training=training)
        parity.close(tape.y, y.detach().numpy(), "y")
        gradients = tape.backward(dy)
        np.testing.assert_allclose(gradients.x, leaf.grad.numpy(), rtol=1e-7, atol=1e-9)
        for name, parameter in peer.named_parameters():
            np.testing.assert_allclose(gradients.params[name], parameter.grad.numpy(), rtol=1e-7, atol=1e-9)
        for name in names:
            np.testing.assert_allclose(net.state_dict()[name], peer.state_dict()[name].numpy(), rtol=1e-10)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_state_dicts_go_both_ways(kind):
    """Names, shapes, order and layout are PyTorch's: tensors are taken as they are, arrays are given that fit."""
    options = {"num_layers": 2, "bidirectional": True} | ({"proj_size": 2} if kind == "LSTM" else {})
    net, peer = getattr(rnnrs, kind)(3, 4, **options), getattr(torch.nn, kind)(3, 4, **options)
    assert list(net.state_dict()) == list(peer.state_dict())
    net.load_state_dict(peer.state_dict())
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    expected = peer(torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_allclose(net(x)[0], expected, rtol=1e-5, atol=1e-6)
    net.load_state_dict(dict(peer.named_parameters()))
    fresh = getattr(torch.nn, kind)(3, 4, **options)
    fresh.load_state_dict({name: torch.from_numpy(value) for name, value in net.state_dict().items()})
    np.testing.assert_array_equal(fresh(torch.from_numpy(x))[0].detach().numpy(), expected)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_initial_values_are_drawn_from_the_same_distribution(kind):
    """Uniform in ±1/sqrt(hidden): range, mean and variance of many draws."""
    hidden = 16
    values = np.concatenate([v.ravel() for v in getattr(rnnrs, kind)(40, hidden, seed=1).state_dict().values()])
    k = hidden**-0.5
    assert np.abs(values).max() <= k
    assert np.abs(values).max() > 0.98 * k
    assert abs(values.mean()) < 5 * k / np.sqrt(3 * values.size)
    assert abs(values.var() / (k * k / 3) - 1) < 0.1


def test_tensors_are_taken_as_inputs():
    net = rnnrs.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    y, _ = net(x, lengths=torch.tensor([5, 2]))
    expected, _ = net(x.numpy(), lengths=[5, 2])
    np.testing.assert_array_equal(y, expected)
