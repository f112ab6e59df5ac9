"""Batch normalisation: statistics of the batch in training, frozen ones out of it; there laws 3 to 5 hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnrs
from cases import assert_same_bits
from differences import agrees, directions
from reference import batch_norm

WIDTH = 3
NAMES = ("weight", "bias", "running_mean", "running_var")


def chain(seed=0, **more):
    """Batch normalisation at the end of a chain, between layers, and within a stack; values that matter."""
    model = rnnrs.Sequential(
        rnnrs.BatchNorm(WIDTH, momentum=0.25),
        rnnrs.GRU(WIDTH, 4, num_layers=2, batch_norm=True),
        rnnrs.Linear(4, WIDTH),
        rnnrs.BatchNorm(WIDTH, eps=1e-3),
        seed=seed,
        **more,
    )
    return randomised(model, seed)


def randomised(model, seed=0):
    rng = np.random.default_rng(seed)
    values = {name: value + 0.3 * rng.normal(size=value.shape) for name, value in model.state_dict().items()}
    values |= {name: np.abs(value) + 0.5 for name, value in values.items() if "running_var" in name}
    model.load_state_dict({name: value.astype(model.dtype) for name, value in values.items()})
    return model


def layer(seed=0, dtype="float64"):
    """One layer, over time because of the chain, with its parameters by their bare names."""
    model = randomised(rnnrs.Sequential(rnnrs.BatchNorm(WIDTH, momentum=0.25), dtype=dtype), seed)
    return model, {name: model.state_dict()[f"0.{name}"] for name in NAMES}


@st.composite
def batches(draw, least=2):
    """x (N, T, F) with at least so many valid steps, and lengths; NaN in the padding."""
    rows, steps = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    given_lengths = st.lists(st.integers(0, steps), min_size=rows, max_size=rows).filter(lambda n: sum(n) >= least)
    lengths = draw(given_lengths) if rows * steps > least else [max(steps, least)] * rows
    x = 1.0 + 2.0 * np.random.default_rng(draw(st.integers(0, 2**32))).normal(size=(rows, max(lengths), WIDTH))
    for row, n in enumerate(lengths):
        x[row, n:] = np.nan
    return x, np.array(lengths)


def turned(x):
    return np.swapaxes(x, 0, 1)


@given(batch=batches())
def test_training_uses_and_moves_the_statistics_of_all_valid_steps(batch):
    x, lengths = batch
    model, p = layer()
    y, mean, variance = batch_norm.training(turned(x), lengths, p["weight"], p["bias"])
    tape = model.record(x, lengths=lengths)
    np.testing.assert_allclose(tape.y, turned(y), rtol=1e-10, atol=1e-10)
    after = model.state_dict()
    np.testing.assert_allclose(after["0.running_mean"], 0.75 * p["running_mean"] + 0.25 * mean, rtol=1e-10)
    np.testing.assert_allclose(after["0.running_var"], 0.75 * p["running_var"] + 0.25 * variance, rtol=1e-10)


@given(batch=batches(least=1))
def test_out_of_training_the_running_statistics_hold_and_stay(batch):
    x, lengths = batch
    model, p = layer()
    expected = batch_norm.frozen(x, *(p[name] for name in NAMES))
    for row, n in enumerate(lengths):
        expected[row, n:] = 0.0
    tape = model.record(x, lengths=lengths, training=False)
    np.testing.assert_allclose(tape.y, expected, rtol=1e-10, atol=1e-12)
    assert_same_bits(model(x, lengths=lengths), tape.y, "y")
    for name, value in model.state_dict().items():
        assert_same_bits(value, p[name.split(".")[1]], name)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("checkpoint", [None, 16])
def test_gradients_equal_central_differences(training, checkpoint):
    rng = np.random.default_rng(1)
    x, lengths = 1.0 + rng.normal(size=(3, 19, WIDTH)), np.array([19, 0, 7])
    model = chain(dtype="float64")
    start = model.state_dict()
    dy = rng.normal(size=(3, 19, WIDTH))

    def run(x, change=()):
        model.load_state_dict(start | dict(change))
        return model.record(x, lengths=lengths, training=training, checkpoint=checkpoint)

    gradients = run(x).backward(dy)

    def compare(what, gradient, f):
        for d in directions(gradient.shape, rng, 12):
            ok, nearest = agrees(lambda h, d=d: float((f(h * d).y * dy).sum()), float((gradient * d).sum()))
            assert ok, f"d{what}: {(gradient * d).sum()}, differences say {nearest}"

    compare("x", gradients.x, lambda change: run(x + change))
    for name, gradient in gradients.params.items():
        if "running" in name:
            np.testing.assert_array_equal(gradient, 0.0)
        else:
            compare(name, gradient, lambda change, name=name: run(x, {name: start[name] + change}))


@given(batch=batches(), data=st.data())
def test_laws_3_to_5_hold_with_frozen_statistics(batch, data):
    x, lengths = batch
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    model = chain(dtype=dtype)
    whole = model.record(x, lengths=lengths, training=False)
    for row, n in enumerate(lengths):  # a row alone, without its padding
        alone = model.record(x[row : row + 1, :n], training=False)
        assert_same_bits(alone.y[0], whole.y[row, :n], f"row {row}")
        assert not whole.y[row, n:].any()
        stream = model.stream()
        for t in range(n):
            assert_same_bits(stream.step(x[row, t].astype(dtype)), whole.y[row, t], f"row {row}, step {t}")
        cut = data.draw(st.integers(0, int(n)))
        first = model.record(x[row : row + 1, :cut], training=False)
        second = model.record(x[row : row + 1, cut:n], state=first.state, training=False)
        assert_same_bits(np.concatenate([first.y, second.y], axis=1), alone.y, f"row {row}, cut at {cut}")


def test_training_has_the_same_bits_for_any_number_of_threads_and_with_checkpoints():
    rng, threads_before = np.random.default_rng(2), rnnrs.get_num_threads()
    x, dy, lengths = rng.normal(size=(40, 33, WIDTH)), rng.normal(size=(40, 33, WIDTH)), rng.integers(1, 34, 40)

    def run(threads, checkpoint):
        rnnrs.set_num_threads(threads)
        model = chain(dtype="float32")
        tape = model.record(x, lengths=lengths, checkpoint=checkpoint)
        gradients = tape.backward(dy)
        arrays = {"y": tape.y, "dx": gradients.x} | dict(gradients.params)
        return arrays | {f"{name} after": value for name, value in model.state_dict().items()}

    try:
        one = run(1, None)
        for threads, checkpoint in ((1, 16), (2, None), (3, 16)):
            for name, value in run(threads, checkpoint).items():
                assert_same_bits(value, one[name], f"{name}, {threads} threads, checkpoint {checkpoint}")
    finally:
        rnnrs.set_num_threads(threads_before)


def test_the_layout_does_not_matter():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5, 4, WIDTH))
    options = {"num_layers": 2, "batch_norm": True, "seed": 0}
    one, two = rnnrs.RNN(WIDTH, 4, **options), rnnrs.RNN(WIDTH, 4, batch_first=True, **options)
    a, b = one.record(x, lengths=[5, 2, 0, 3]), two.record(turned(x), lengths=[5, 2, 0, 3])
    assert_same_bits(a.y, turned(b.y), "y")
    for name, value in one.state_dict().items():
        assert_same_bits(value, two.state_dict()[name], name)


def test_it_has_the_conventions_of_torch():
    """As torch.nn.BatchNorm1d documents: the biased variance in y, the unbiased one in running_var, momentum 0.1."""
    model = rnnrs.Sequential(rnnrs.BatchNorm(1), dtype="float64")
    tape = model.record([[[0.0], [2.0], [4.0]]])
    np.testing.assert_allclose(tape.y[0, :, 0], np.array([-2.0, 0.0, 2.0]) / np.sqrt(8 / 3 + 1e-5), rtol=1e-15)
    after = model.state_dict()
    np.testing.assert_allclose([after["0.running_mean"][0], after["0.running_var"][0]], [0.2, 0.9 + 0.4], rtol=1e-15)
    # With n the normalised x and dy = (0, 0, 1): dx = (dy - 1/3 - n n_2 / 3) / sqrt(8/3 + eps).
    normal = tape.y[0, :, 0]
    expected = (np.array([0.0, 0.0, 1.0]) - 1 / 3 - normal * normal[2] / 3) / np.sqrt(8 / 3 + 1e-5)
    gradients = tape.backward([[[0.0], [0.0], [1.0]]])
    np.testing.assert_allclose(gradients.x[0, :, 0], expected, rtol=1e-12)
    np.testing.assert_allclose([gradients.params["0.weight"][0], gradients.params["0.bias"][0]], [normal[2], 1.0])


def test_it_learns_and_is_saved(tmp_path):
    rng = np.random.default_rng(4)
    x = 5.0 + 3.0 * rng.normal(size=(64, 6, WIDTH))
    y = np.cumsum(x[..., :1] - 5.0, axis=1)
    model = rnnrs.Sequential(rnnrs.BatchNorm(WIDTH), rnnrs.GRU(WIDTH, 8), rnnrs.Linear(8, 1), seed=0)
    before = model.evaluate(x, y, loss="mse")["loss"]
    # Weight decay would move what an optimizer takes for a parameter.
    optimizer = rnnrs.optim.AdamW(1e-2, weight_decay=0.1)
    model.fit(x, y, loss="mse", optimizer=optimizer, epochs=20, batch_size=16, progress=False)
    assert model.evaluate(x, y, loss="mse")["loss"] < 0.5 * before
    values = model.state_dict()
    np.testing.assert_allclose(values["0.running_mean"], x.mean((0, 1)), rtol=0.05)
    np.testing.assert_allclose(values["0.running_var"], x.var((0, 1)), rtol=0.1)
    model.save(tmp_path / "model.safetensors")
    loaded = rnnrs.load(tmp_path / "model.safetensors")
    assert_same_bits(loaded(x), model(x), "y")
    model.freeze("0.", False)
    gradients = model.value_and_grad(x, y, loss="mse")[1]
    running = model.state_dict()["0.running_var"]
    optimizer.step(model, gradients)
    assert_same_bits(model.state_dict()["0.running_var"], running, "an optimizer does not train statistics")


def test_a_stream_and_a_tape_follow_the_statistics():
    model = chain(dtype="float64")
    x = np.random.default_rng(5).normal(size=(2, 4, WIDTH))
    stream = model.stream()
    stream.step(x[0, 0])
    frozen, trained = model.record(x, training=False), model.record(x)
    stream.reset()
    assert_same_bits(stream.step(x[0, 0]), model(x)[0, 0], "a step after the statistics have moved")
    dy = np.ones_like(x)
    with pytest.raises(rnnrs.StaleTapeError, match="running statistics"):
        frozen.backward(dy)
    first = trained.backward(dy).x
    model.record(x)
    assert_same_bits(trained.backward(dy).x, first, "a tape in training holds its own statistics")
    moved = model.state_dict()
    assert len(trained.states) == 1
    for name, value in model.state_dict().items():
        assert_same_bits(value, moved[name], f"{name}: looking at states measures nothing")


def test_what_does_not_fit_is_refused():
    for options, match in (({"eps": 0.0}, "eps"), ({"momentum": 0.0}, "momentum"), ({"momentum": 1.5}, "momentum")):
        with pytest.raises(rnnrs.InvalidValueError, match=match):
            rnnrs.BatchNorm(3, **options)
    model, _ = layer()
    with pytest.raises(rnnrs.InvalidValueError, match="at least 2, got 1"):
        model.record(np.zeros((2, 3, WIDTH)), lengths=[1, 0])
    assert model(np.zeros((1, 1, WIDTH))).shape == (1, 1, WIDTH)
