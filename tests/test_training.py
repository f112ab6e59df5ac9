"""Training: fit learns, resumes with the same bits, and does what its options say."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnrs
from cases import assert_same_bits, assert_same_gradients, randomise
from reference import losses, optimizers


def echo(rows=64, steps=12, delay=2, symbols=4, seed=0):
    """Tokens, and as targets the tokens `delay` steps before (ignored where there are none)."""
    x = np.random.default_rng(seed).integers(0, symbols, (rows, steps))
    y = np.full_like(x, -100)
    y[:, delay:] = x[:, :-delay]
    return x, y


def reader(seed=0, symbols=4, hidden=24, **options):
    return rnnrs.Sequential(
        rnnrs.Embedding(symbols, 8), rnnrs.GRU(8, hidden, **options), rnnrs.Linear(hidden, symbols), seed=seed
    )


def small(seed=0, **options):
    return rnnrs.Sequential(rnnrs.LSTM(2, 5, **options), rnnrs.Linear(5, 3), seed=seed, dtype="float64")


def numbers(rows=12, steps=9, seed=0, inputs=2, outputs=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, steps, inputs)), rng.normal(size=(rows, steps, outputs))


def assert_same_parameters(a, b):
    for name, value in a.state_dict().items():
        assert_same_bits(value, b.state_dict()[name], name)


QUIET = {"progress": False}


class TestLearning:
    def test_fit_learns_to_remember(self):
        x, y = echo()
        model = reader()
        before = model.evaluate(x, y)["loss"]
        assert before == pytest.approx(math.log(4), rel=0.3)
        history = model.fit(x, y, optimizer=rnnrs.optim.Adam(2e-2), epochs=30, batch_size=16, seed=1, **QUIET)
        after = model.evaluate(*echo(seed=9), metrics=("accuracy", "bits"))
        assert after["loss"] < 0.1
        assert after["accuracy"] > 0.97
        assert after["bits"] == pytest.approx(after["loss"] / math.log(2))
        assert len(history["loss"]) == 30
        assert len(history.updates) == 30 * 4
        assert history["loss"][-1] < 0.2 * history["loss"][0]

    @pytest.mark.parametrize(
        "optimizer",
        [
            rnnrs.optim.SGD(0.5, momentum=0.9),
            rnnrs.optim.RMSprop(1e-2),
            rnnrs.optim.Adagrad(0.1),
            rnnrs.optim.Adam(1e-2),
            rnnrs.optim.AdamW(1e-2),
        ],
        ids=lambda o: type(o).__name__,
    )
    def test_every_optimizer_learns(self, optimizer):
        x, y = echo(delay=1)
        history = reader().fit(x, y, optimizer=optimizer, epochs=12, clip_norm=1.0, seed=1, **QUIET)
        assert history["loss"][-1] < 0.6 * history["loss"][0]

    def test_classifying_rows_by_their_last_step(self):
        rng = np.random.default_rng(0)
        lengths = rng.integers(1, 10, 200)
        x = rng.integers(0, 2, (200, 10))
        y = x[:, 0]  # what the first symbol was, known only by remembering
        model = rnnrs.Sequential(
            rnnrs.Embedding(2, 4), rnnrs.LSTM(4, 12, forget_bias=1.0), rnnrs.Last(), rnnrs.Linear(12, 2), seed=0
        )
        model.fit(x, y, lengths, optimizer=rnnrs.optim.Adam(2e-2), epochs=25, seed=0, **QUIET)
        assert model.evaluate(x, y, lengths, metrics=("accuracy",))["accuracy"] > 0.95
        assert model.predict(x, lengths).shape == (200, 2)

    def test_multi_label_steps(self):
        x = np.random.default_rng(0).integers(0, 2, (40, 8, 3)).astype(float)
        model = rnnrs.Sequential(rnnrs.GRU(3, 16), rnnrs.Linear(16, 3), seed=0)
        options = {"loss": "bernoulli", "optimizer": rnnrs.optim.Adam(2e-2), "epochs": 30, "seed": 0}
        history = model.fit(x, x, **options, **QUIET)
        assert history["loss"][0] == pytest.approx(3 * math.log(2), rel=0.3)
        assert history["loss"][-1] < 0.5

    def test_a_layer_alone_learns(self):
        x, y = numbers(outputs=5)
        model = rnnrs.LSTM(2, 5, seed=0)
        history = model.fit(x, np.tanh(y), loss="mse", optimizer=rnnrs.optim.Adam(1e-2), epochs=20, **QUIET)
        assert history["loss"][-1] < history["loss"][0]

    def test_generate_continues_what_was_learned(self):
        cycle = np.arange(60) % 5
        x = np.stack([cycle[k : k + 20] for k in range(30)])
        model = reader(symbols=5)
        model.fit(x[:, :-1], x[:, 1:], optimizer=rnnrs.optim.Adam(2e-2), epochs=30, seed=0, **QUIET)
        assert model.generate([0, 1, 2], 10, temperature=0).tolist() == [(3 + k) % 5 for k in range(10)]
        assert model.generate([[0, 1], [3, 4]], 4, temperature=0).tolist() == [[2, 3, 4, 0], [0, 1, 2, 3]]
        one, same = (model.generate([0], 30, seed=4).tolist() for _ in range(2))
        assert one == same


class TestLoss:
    """The losses against reference/, in value and gradient, with masks, lengths and ignored targets."""

    @given(data=st.data())
    @pytest.mark.parametrize("kind", ["cross_entropy", "mse", "bernoulli"])
    def test_equals_the_reference(self, kind, data):
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        rows, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 20))
        model = randomise(small(bidirectional=False), rng)
        x = rng.normal(size=(rows, steps, 2))
        lengths = rng.integers(0, steps + 1, rows) if data.draw(st.booleans()) else None
        mask = rng.choice([0.0, 1.0, 0.5], (rows, steps)) if data.draw(st.booleans()) else None
        if kind == "cross_entropy":
            targets = rng.integers(0, 3, (rows, steps))
            targets[rng.random((rows, steps)) < 0.2] = -100
        else:
            targets = rng.normal(size=(rows, steps, 3)) if kind == "mse" else rng.random((rows, steps, 3))
        tape = model.record(x, lengths=lengths)
        turned = [None if a is None else a.swapaxes(0, 1) for a in (tape.y, targets, mask)]
        value, weight, dy = losses.weighted(kind, *turned, lengths)
        got, gradients = model.value_and_grad(x, targets, lengths, mask=mask, loss=kind)
        assert got == pytest.approx(value, rel=1e-10, abs=1e-13)
        expected = tape.backward(dy.swapaxes(0, 1))
        for name in expected.params:
            np.testing.assert_allclose(gradients.params[name], expected.params[name], rtol=1e-8, atol=1e-11)
        if weight == 0:
            assert got == 0
            assert all((gradients.params[name] == 0).all() for name in gradients.params)
        measured = model.evaluate(x, targets, lengths, mask, loss=kind)
        if weight:
            assert measured["loss"] == pytest.approx(value, rel=1e-10, abs=1e-13)

    @pytest.mark.parametrize("kind", ["cross_entropy", "mse", "bernoulli"])
    def test_of_one_result_a_row(self, kind):
        rng = np.random.default_rng(3)
        model = rnnrs.Sequential(rnnrs.RNN(2, 4), rnnrs.Last(), rnnrs.Linear(4, 3), dtype="float64", seed=0)
        x, mask = rng.normal(size=(5, 6, 2)), np.array([1.0, 0.0, 0.5, 2.0, 1.0])
        targets = rng.integers(0, 3, 5) if kind == "cross_entropy" else rng.random((5, 3))
        tape = model.record(x)
        value, _, dy = losses.weighted(kind, tape.y, targets, mask)
        got, gradients = model.value_and_grad(x, targets, mask=mask, loss=kind)
        assert got == pytest.approx(value, rel=1e-12)
        for name, expected in tape.backward(dy).params.items():
            np.testing.assert_allclose(gradients.params[name], expected, rtol=1e-9, atol=1e-12)

    def test_another_ignored_index(self):
        x, y = echo(rows=3, steps=5)
        model = reader(seed=1)
        value, _ = model.value_and_grad(x, y)
        other, _ = model.value_and_grad(x, np.where(y == -100, 7, y), loss=rnnrs.losses.CrossEntropy(ignore_index=7))
        assert value == other
        got = model.evaluate(x, y, metrics=("accuracy",))["accuracy"]
        right = model(x).argmax(-1) == y
        assert got == pytest.approx(right[y != -100].mean())

    def test_padding_of_targets_reaches_nothing(self):
        x, y = numbers(rows=3)
        lengths = np.array([9, 4, 0])
        outside = np.arange(9) >= lengths[:, None]
        model = small()
        value, clean = model.value_and_grad(x, y, lengths, loss="mse")
        dirty = y.copy()
        dirty[outside] = np.nan
        again, same = model.value_and_grad(x, dirty, lengths, loss="mse")
        assert value == again
        assert_same_gradients(clean, same)

    def test_extreme_logits_stay_finite(self):
        model = rnnrs.Sequential(rnnrs.Linear(2, 2, bias=False))
        model.load_state_dict({"0.weight": np.eye(2, dtype=np.float32)})
        for scale in (1e4, 1e30):
            x = np.array([[[scale, -scale]]], dtype=np.float32)
            for kind, target in (("cross_entropy", [[0]]), ("bernoulli", [[[1.0, 0.0]]])):
                value, gradients = model.value_and_grad(x, target, loss=kind)
                assert value == pytest.approx(0.0, abs=1e-30)
                assert np.isfinite(gradients.params["0.weight"]).all()

    def test_the_users_own_loss(self):
        """Value and gradient from a function of y: it learns as the built-in does, to rounding."""
        x, y = numbers()

        def squared(y_pred, y_true):
            difference = y_pred - y_true
            return (difference**2).mean(), 2 * difference / difference.size

        mine, theirs = small(), small()
        for model, loss in ((mine, squared), (theirs, "mse")):
            model.fit(x, y, loss=loss, optimizer=rnnrs.optim.SGD(0.1), epochs=3, batch_size=4, seed=0, **QUIET)
        for name, value in mine.state_dict().items():
            np.testing.assert_allclose(value, theirs.state_dict()[name], rtol=1e-9, atol=1e-12)
        value, gradients = mine.value_and_grad(x, y, loss=squared)
        expected, others = mine.value_and_grad(x, y, loss="mse")
        assert value == pytest.approx(expected)
        for name in others.params:
            np.testing.assert_allclose(gradients.params[name], others.params[name], rtol=1e-8, atol=1e-12)

    def test_a_loss_of_the_wrong_form(self):
        x, y = numbers()
        with pytest.raises(rnnrs.InvalidValueError, match="gradient"):
            small().value_and_grad(x, y, loss=lambda a, b: 1.0)


class TestUpdate:
    @pytest.mark.parametrize("kind", ["SGD", "RMSprop", "Adagrad", "Adam", "AdamW"])
    def test_follows_the_papers(self, kind):
        """Over every parameter of a model at once, against reference/optimizers.py."""
        model, rng = small(), np.random.default_rng(1)
        x, y = numbers()
        common = {"lr": 0.05, "weight_decay": 0.03} | ({"momentum": 0.8} if kind in ("SGD", "RMSprop") else {})
        optimizer = getattr(rnnrs.optim, kind)(**common)
        peers = {name: getattr(optimizers, kind)(**common) for name in model.state_dict()}
        for _ in range(8):
            before = model.state_dict()
            _, gradients = model.value_and_grad(x + rng.normal(size=x.shape), y, loss="mse")
            expected = {name: peers[name].step(value, gradients.params[name]) for name, value in before.items()}
            optimizer.step(model, gradients)
            for name, value in model.state_dict().items():
                np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12)
        assert optimizer.updates == 8

    def test_clipping_by_norm(self):
        model = small()
        _, gradients = model.value_and_grad(*numbers(), loss="mse")
        before = [gradients.params[name].copy() for name in gradients.params]
        expected, norm = optimizers.clip_norm(before, 0.01)
        assert gradients.norm() == pytest.approx(norm, rel=1e-12)
        assert gradients.clip_norm(0.01) == pytest.approx(norm, rel=1e-12)
        for name, value in zip(gradients.params, expected, strict=True):
            np.testing.assert_allclose(gradients.params[name], value, rtol=1e-3)
        assert gradients.norm() <= 0.01 * (1 + 1e-12)
        left = [gradients.params[name].copy() for name in gradients.params]
        gradients.clip_norm(1e6)
        for name, value in zip(gradients.params, left, strict=True):
            assert_same_bits(gradients.params[name], value, "a norm within the limit")

    def test_clipping_by_value(self):
        _, gradients = small().value_and_grad(*numbers(), loss="mse")
        before = {name: gradients.params[name].copy() for name in gradients.params}
        limit = float(np.median(np.abs(np.concatenate([v.ravel() for v in before.values()]))))
        gradients.clip_value(limit)
        for name, value in before.items():
            np.testing.assert_array_equal(gradients.params[name], np.clip(value, -limit, limit))

    def test_gradients_add_and_scale(self):
        model = small()
        (x, y), (u, v) = numbers(seed=0), numbers(seed=1)
        _, a = model.value_and_grad(x, y, loss="mse")
        _, b = model.value_and_grad(u, v, loss="mse")
        _, both = model.value_and_grad(np.concatenate([x, u]), np.concatenate([y, v]), loss="mse")
        a.add(b)
        a.scale(0.5)
        for name in both.params:
            np.testing.assert_allclose(a.params[name], both.params[name], rtol=1e-9, atol=1e-12)

    def test_frozen_parameters_stay(self):
        model = small()
        before = model.state_dict()
        assert model.freeze("0.") == 4
        optimizer = rnnrs.optim.AdamW(0.1, weight_decay=0.5)
        model.fit(*numbers(), loss="mse", optimizer=optimizer, epochs=2, seed=0, **QUIET)
        after = model.state_dict()
        for name in before:
            assert (before[name] == after[name]).all() == name.startswith("0."), name
        assert model.freeze("0.weight", False) == 2
        model.fit(*numbers(), loss="mse", optimizer=optimizer, epochs=2, seed=0, **QUIET)
        for name, value in model.state_dict().items():
            assert (value == after[name]).all() == name.startswith("0.bias"), name

    def test_an_optimizer_belongs_to_its_parameters(self):
        model, optimizer = small(), rnnrs.optim.Adam()
        _, gradients = model.value_and_grad(*numbers(), loss="mse")
        optimizer.step(model, gradients)
        other = rnnrs.LSTM(2, 3, dtype="float64")
        _, strange = other.value_and_grad(*numbers(outputs=3), loss="mse")
        before = other.state_dict()
        with pytest.raises(rnnrs.Error):
            optimizer.step(other, strange)
        for name, value in other.state_dict().items():
            assert_same_bits(value, before[name], name)
        with pytest.raises(rnnrs.Error):
            rnnrs.optim.Adam().step(model, strange)

    def test_optimizer_state_goes_on_with_the_same_bits(self):
        x, y = numbers()
        one, other = small(), small()
        first, second = (rnnrs.optim.Adam(1e-2, schedule=rnnrs.schedules.Cosine(20)) for _ in range(2))
        for update in range(12):
            if update == 5:
                fresh = rnnrs.optim.Adam(1e-2, schedule=rnnrs.schedules.Cosine(20))
                fresh.load_state_dict(second.state_dict())
                second = fresh
            for model, optimizer in ((one, first), (other, second)):
                optimizer.step(model, model.value_and_grad(x, y, loss="mse")[1])
        assert_same_parameters(one, other)
        assert second.updates == 12

    def test_a_state_of_another_kind_is_refused(self):
        state = rnnrs.optim.Adam().state_dict()
        with pytest.raises(rnnrs.InvalidValueError):
            rnnrs.optim.SGD().load_state_dict(state)
        with pytest.raises(rnnrs.InvalidValueError):
            rnnrs.optim.Adam(beta1=0.5).load_state_dict(state)

    def test_denormal_moments_are_zero(self):
        """Gradients that die out leave no denormals behind to slow the updates."""
        net = rnnrs.Linear(1, 1, bias=False)
        optimizer = rnnrs.optim.SGD(0.0, momentum=0.5)
        optimizer.step(net, net.record([[1.0]]).backward([[1.0]]))
        for _ in range(200):
            optimizer.step(net, net.record([[1.0]]).backward([[0.0]]))
        fresh = net.state_dict()["weight"]
        optimizer.lr = 1e30
        optimizer.step(net, net.record([[1.0]]).backward([[0.0]]))
        np.testing.assert_array_equal(net.state_dict()["weight"], fresh)


class TestSchedule:
    @pytest.mark.parametrize(
        ("schedule", "spec"),
        [
            (rnnrs.schedules.Constant(), {"schedule": "constant"}),
            (rnnrs.schedules.Constant(warmup=7), {"schedule": "constant", "warmup": 7}),
            (rnnrs.schedules.Step(5, 0.3), {"schedule": "step", "every": 5, "gamma": 0.3}),
            (rnnrs.schedules.Cosine(40, 0.1), {"schedule": "cosine", "total": 40, "floor": 0.1}),
            (rnnrs.schedules.Step(9, 0.5, 4), {"schedule": "step", "every": 9, "gamma": 0.5, "warmup": 4}),
            (rnnrs.schedules.Cosine(30, warmup=10), {"schedule": "cosine", "total": 30, "floor": 0.0, "warmup": 10}),
        ],
        ids=repr,
    )
    def test_follows_its_formula(self, schedule, spec):
        for update in range(100):
            assert schedule.factor(update) == pytest.approx(optimizers.schedule(spec, update), rel=1e-14, abs=1e-15)
            assert schedule.factor(update) == rnnrs._core.schedule(json.dumps(spec), update)

    def test_is_what_the_optimizer_uses(self):
        x, y = numbers(rows=4)
        model = small()
        optimizer = rnnrs.optim.SGD(0.1, schedule=rnnrs.schedules.Step(2, 0.5))
        for update in range(6):
            before = model.state_dict()
            _, gradients = model.value_and_grad(x, y, loss="mse")
            assert optimizer.rate == pytest.approx(0.1 * 0.5 ** (update // 2))
            rate = optimizer.rate
            optimizer.step(model, gradients)
            for name, value in model.state_dict().items():
                np.testing.assert_allclose(value, before[name] - rate * gradients.params[name], rtol=1e-12, atol=1e-15)

    def test_reduce_on_plateau(self):
        schedule = rnnrs.schedules.ReduceOnPlateau(gamma=0.5, patience=1)
        factors = []
        for loss in (1.0, 0.9, 0.95, 0.91, 0.8, 0.9, math.nan, 0.7):
            schedule.observe(loss)
            factors.append(schedule.factor(0))
        assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
        again = rnnrs.schedules.ReduceOnPlateau(gamma=0.5, patience=1)
        again.load_state_dict(schedule.state_dict())
        assert again.factor(0) == 0.25


class TestResume:
    """A run cut in two gives the same bits as one run."""

    def run(self, model, epochs, **more):
        x, y = numbers(rows=20, steps=16)
        options = {
            "loss": "mse",
            "optimizer": rnnrs.optim.Adam(1e-2, schedule=rnnrs.schedules.Cosine(60, warmup=5)),
            "batch_size": 5,
            "clip_norm": 0.5,
            "validation_data": numbers(rows=3, seed=5, steps=16),
            "seed": 3,
        }
        return model.fit(x, y, epochs=epochs, **(options | more), **QUIET)

    @pytest.mark.parametrize("options", [{}, {"bptt": 5}, {"bptt": 5, "stateful": True}], ids=str)
    @pytest.mark.parametrize("cut", [1, 3, 7, 9, 20])
    def test_a_cut_run_gives_the_bits_of_a_whole_one(self, options, cut, tmp_path):
        def fresh():
            return small(zoneout=0.1, recurrent_dropout=0.2, dropout=0.1, num_layers=2)

        path = tmp_path / "checkpoint"
        whole, half, rest = fresh(), fresh(), fresh()
        callbacks = rnnrs.callbacks
        history = self.run(whole, 5, callbacks=[callbacks.Checkpoint(tmp_path / "whole")], **options)
        self.run(half, 5, callbacks=[Stop(cut), callbacks.Checkpoint(path, updates=1)], **options)
        for name, value in rnnrs.load(path).state_dict().items():
            assert_same_bits(value, half.state_dict()[name], name)
        second = self.run(rest, 5, callbacks=[Stop(None), callbacks.Checkpoint(path)], resume=path, **options)
        assert_same_parameters(whole, rest)
        assert second.updates == history.updates
        assert {name: list(values) for name, values in second.items()} == {n: list(v) for n, v in history.items()}

    def test_early_stopping_survives_a_cut(self, tmp_path):
        path = tmp_path / "checkpoint"

        def stopping():
            return rnnrs.callbacks.EarlyStopping("val_loss", patience=2, min_delta=0.01)

        whole, half, rest = small(), small(), small()
        one = self.run(whole, 50, callbacks=[stopping(), rnnrs.callbacks.Checkpoint(tmp_path / "a")])
        self.run(half, 2, callbacks=[stopping(), rnnrs.callbacks.Checkpoint(path)])
        other = self.run(rest, 50, callbacks=[stopping(), rnnrs.callbacks.Checkpoint(path)], resume=path)
        assert one["val_loss"] == other["val_loss"]
        assert_same_parameters(whole, rest)

    def test_a_damaged_checkpoint_is_refused(self, tmp_path):
        path = tmp_path / "checkpoint"
        self.run(small(), 1, callbacks=[rnnrs.callbacks.Checkpoint(path)])
        data = path.read_bytes()
        rng = np.random.default_rng(0)
        for k in [*range(60), *rng.integers(0, len(data), 100).tolist()]:
            path.write_bytes(data[:k] + bytes([data[k] ^ 1]) + data[k + 1 :])
            model = small()
            before = model.state_dict()
            with pytest.raises(rnnrs.FileError):
                self.run(model, 2, callbacks=[rnnrs.callbacks.Checkpoint(tmp_path / "b")], resume=path)
            for name, value in model.state_dict().items():
                assert_same_bits(value, before[name], name)
            with pytest.raises(rnnrs.FileError):
                rnnrs.load(path)
        for length in [*range(60), *rng.integers(0, len(data), 50).tolist()]:
            path.write_bytes(data[:length])
            with pytest.raises(rnnrs.FileError):
                self.run(small(), 2, callbacks=[rnnrs.callbacks.Checkpoint(tmp_path / "b")], resume=path)

    def test_a_checkpoint_of_another_model_is_refused(self, tmp_path):
        path = tmp_path / "checkpoint"
        self.run(small(), 1, callbacks=[rnnrs.callbacks.Checkpoint(path)])
        with pytest.raises(rnnrs.InvalidValueError, match="resume"):
            self.run(small(num_layers=2), 2, callbacks=[rnnrs.callbacks.Checkpoint(path)], resume=path)


class Stop(rnnrs.callbacks.Callback):
    """Ends fit after so many updates."""

    def __init__(self, updates):
        self.updates = updates

    def on_update(self, run):
        if self.updates is not None and run.update >= self.updates:
            run.stop()


class TestFit:
    def test_a_seed_makes_a_run_reproducible(self):
        runs = []
        for seed in (1, 1, 2):
            model = small(zoneout=0.2)
            model.fit(*numbers(), loss="mse", epochs=2, batch_size=4, seed=seed, **QUIET)
            runs.append(model)
        assert_same_parameters(runs[0], runs[1])
        assert any((v != runs[2].state_dict()[k]).any() for k, v in runs[0].state_dict().items())

    def test_the_users_own_loop_is_the_same_thing(self):
        x, y = numbers(rows=8)
        fitted, mine = small(), small()
        fitted.fit(x, y, loss="mse", optimizer=rnnrs.optim.Adam(1e-2), batch_size=4, shuffle=False, epochs=2, **QUIET)
        optimizer = rnnrs.optim.Adam(1e-2)
        for _ in range(2):
            for start in (0, 4):
                rows = slice(start, start + 4)
                optimizer.step(mine, mine.value_and_grad(x[rows], y[rows], loss="mse")[1])
        assert_same_parameters(fitted, mine)

    def test_a_ragged_list_is_its_sequences(self):
        """Bucketed and padded or one by one: the loss is the mean over all steps."""
        rng = np.random.default_rng(0)
        xs = [rng.normal(size=(n, 2)) for n in (3, 9, 1, 5, 9, 2)]
        ys = [rng.normal(size=(len(x), 3)) for x in xs]
        model = small()
        total = sum(model.evaluate(x[None], y[None], loss="mse")["loss"] * len(x) for x, y in zip(xs, ys, strict=True))
        measured = model.evaluate(xs, ys, loss="mse", batch_size=4)["loss"]
        assert measured == pytest.approx(total / sum(map(len, xs)), rel=1e-12)
        for x, y in zip(xs, model.predict(xs, batch_size=4), strict=True):
            assert_same_bits(y, model(x[None])[0], "a prediction")
        history = model.fit(
            xs, ys, loss="mse", optimizer=rnnrs.optim.Adam(1e-2), batch_size=2, epochs=20, seed=0, **QUIET
        )
        assert history["loss"][-1] < history["loss"][0]

    def test_a_ragged_list_equals_the_padded_array(self):
        rng = np.random.default_rng(0)
        lengths = np.array([3, 9, 1, 5])
        x, y = rng.normal(size=(4, 9, 2)), rng.normal(size=(4, 9, 3))
        ragged, padded = small(), small()
        options = {"loss": "mse", "optimizer": None, "batch_size": 4, "shuffle": False, "epochs": 3}
        order = np.argsort(lengths, kind="stable")
        xs, ys = [x[k, : lengths[k]] for k in order], [y[k, : lengths[k]] for k in order]
        ragged.fit(xs, ys, **options, **QUIET)
        padded.fit(x[order], y[order], lengths[order], **options, **QUIET)
        assert_same_parameters(ragged, padded)

    def test_an_iterable_of_batches(self):
        x, y = numbers(rows=8)
        arrays, batches, made = small(), small(), small()
        options = {"loss": "mse", "epochs": 2, "batch_size": 4}
        arrays.fit(x, y, shuffle=False, **options, **QUIET)
        pairs = [(x[:4], y[:4]), (x[4:], y[4:])]
        batches.fit(pairs, **options, **QUIET)
        made.fit(lambda: iter(pairs), **options, **QUIET)
        assert_same_parameters(arrays, batches)
        assert_same_parameters(arrays, made)

    def test_an_iterator_that_is_used_up_is_an_error(self):
        x, y = numbers()
        with pytest.raises(rnnrs.InvalidValueError, match="used up"):
            small().fit(iter([(x, y)]), loss="mse", epochs=2, **QUIET)

    def test_a_mask_weighs_the_loss(self):
        """A mask of zeros on half the rows is those rows left out."""
        x, y = numbers(rows=6)
        mask = np.zeros((6, 9))
        mask[::2] = 1
        masked, few = small(), small()
        options = {"loss": "mse", "epochs": 2, "shuffle": False, "optimizer": None}
        masked.fit(x, y, mask=mask, **options, **QUIET)
        few.fit(x[::2], y[::2], **options, **QUIET)
        for name, value in masked.state_dict().items():
            np.testing.assert_allclose(value, few.state_dict()[name], rtol=1e-7, atol=1e-9)

    def test_truncated_backpropagation_carries_the_state_and_not_the_gradient(self):
        x, y = numbers(rows=3, steps=10)
        fitted, mine = small(), small()
        options = {"loss": "mse", "optimizer": rnnrs.optim.SGD(0.1), "bptt": 4, "shuffle": False}
        fitted.fit(x, y, **options, epochs=1, **QUIET)
        optimizer, state = rnnrs.optim.SGD(0.1), None
        for start in (0, 4, 8):
            part = slice(start, start + 4)
            _, gradients = mine.value_and_grad(x[:, part], y[:, part], state=state, loss="mse")
            state = mine.record(x[:, part], state, training=False).state
            optimizer.step(mine, gradients)
        assert_same_parameters(fitted, mine)

    def test_stateful_goes_on_from_batch_to_batch(self):
        x, y = numbers(rows=6, steps=4)
        fitted, mine = small(), small()
        fitted.fit(x, y, loss="mse", optimizer=rnnrs.optim.SGD(0.1), batch_size=2, stateful=True, epochs=2, **QUIET)
        optimizer = rnnrs.optim.SGD(0.1)
        for _ in range(2):
            state = None
            for start in (0, 2, 4):
                part = slice(start, start + 2)
                _, gradients = mine.value_and_grad(x[part], y[part], state=state, loss="mse")
                state = mine.record(x[part], state, training=False).state
                optimizer.step(mine, gradients)
        assert_same_parameters(fitted, mine)

    def test_truncation_at_the_whole_length_is_none(self):
        one, other = small(), small()
        for model, bptt in ((one, None), (other, 9)):
            model.fit(*numbers(), loss="mse", bptt=bptt, epochs=2, seed=1, **QUIET)
        assert_same_parameters(one, other)

    @pytest.mark.parametrize("options", [{"bptt": 4}, {"stateful": True, "shuffle": False}])
    def test_a_reverse_direction_cannot_be_cut(self, options):
        model = rnnrs.LSTM(2, 3, bidirectional=True)
        x, y = numbers(outputs=6)
        with pytest.raises(rnnrs.UnsupportedError, match="direction"):
            model.fit(x, y, loss="mse", **options, **QUIET)

    def test_callbacks_see_the_run(self):
        seen = []

        class Watch(rnnrs.callbacks.Callback):
            def on_begin(self, run):
                seen.append("begin")

            def on_update(self, run):
                seen.append(run.update)
                assert math.isfinite(run.loss)
                assert run.rate == 1e-3

            def on_epoch(self, run):
                seen.append(sorted(run.figures))

            def on_end(self, run):
                seen.append("end")

        x, y = numbers(rows=4)
        small().fit(x, y, loss="mse", batch_size=2, epochs=2, validation_data=(x, y), callbacks=[Watch()], **QUIET)
        figures = ["loss", "lr", "val_loss"]
        assert seen == ["begin", 1, 2, figures, 3, 4, figures, "end"]

    def test_early_stopping_gives_the_best_back(self):
        x, y = numbers(rows=4)
        held = numbers(rows=20, seed=9)
        model = small()
        options = {"validation_data": held, "optimizer": rnnrs.optim.Adam(5e-2), "seed": 0}
        history = model.fit(
            x, y, loss="mse", epochs=300, callbacks=[rnnrs.callbacks.EarlyStopping(patience=3)], **options, **QUIET
        )
        losses_seen = history["val_loss"]
        assert len(losses_seen) < 300
        assert len(losses_seen) == int(np.argmin(losses_seen)) + 1 + 4
        assert model.evaluate(*held, loss="mse")["loss"] == pytest.approx(min(losses_seen), rel=1e-12)

    def test_validation_and_metrics(self):
        x, y = echo(rows=8)
        model = reader()
        held = echo(rows=4, seed=2)
        history = model.fit(x, y, epochs=2, validation_data=held, metrics=("accuracy", "bits"), **QUIET)
        assert set(history) == {"loss", "lr", "val_loss", "val_accuracy", "val_bits"}
        measured = model.evaluate(*held, metrics=("accuracy", "bits"))
        assert history["val_accuracy"][-1] == measured["accuracy"]
        assert history["val_bits"][-1] == pytest.approx(measured["loss"] / math.log(2))

    def test_predictions_do_not_depend_on_the_batch(self):
        x, _ = numbers(rows=11)
        model = small()
        assert_same_bits(model.predict(x, batch_size=3), model(x), "predictions")

    def test_progress_shows_loss_and_speed_and_can_be_switched_off(self, capsys):
        x, y = numbers()
        small().fit(x, y, loss="mse", progress=True)
        shown = capsys.readouterr()
        assert "steps/s" in shown.err
        assert "loss" in shown.err
        small().fit(x, y, loss="mse", progress=False)
        shown = capsys.readouterr()
        assert shown.out == shown.err == ""

    def test_without_tqdm_there_are_plain_lines(self, run_script):
        code = (
            "import sys; sys.modules['tqdm'] = None\n"
            "import numpy as np, rnnrs\n"
            "x = np.zeros((4, 3, 2)); rnnrs.LSTM(2, 2).fit(x, x, loss='mse')\n"
        )
        done = run_script(code, check=False)
        assert done.returncode == 0, done.stderr
        assert "steps/s" in done.stderr
        assert "loss" in done.stderr

    def test_a_picture_of_the_history(self, tmp_path):
        pytest.importorskip("matplotlib")
        history = small().fit(*numbers(), loss="mse", epochs=2, validation_data=numbers(), **QUIET)
        history.plot(tmp_path / "curve.png")
        assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")

    def test_without_matplotlib_the_error_says_what_to_install(self, run_script):
        code = (
            "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None\n"
            "import numpy as np, rnnrs\n"
            "x = np.zeros((4, 3, 2)); h = rnnrs.LSTM(2, 2).fit(x, x, loss='mse', progress=False)\n"
            "try: h.plot()\n"
            "except ImportError as error: print(error)\n"
        )
        assert "pip install rnnrs[plot]" in run_script(code)

    @pytest.mark.parametrize(
        "options",
        [
            {"epochs": -1},
            {"batch_size": 0},
            {"bptt": 0},
            {"clip_norm": 0.0},
            {"clip_value": -1.0},
            {"loss": "hinge"},
            {"metrics": ("accuracy",)},
            {"metrics": ("area",), "validation_data": numbers()},
            {"stateful": True, "shuffle": True},
            {"stateful": True, "batch_size": 5},
            {"seed": -1},
        ],
        ids=str,
    )
    def test_options_out_of_range_are_refused(self, options):
        with pytest.raises((rnnrs.InvalidValueError, rnnrs.UnsupportedError)):
            small().fit(*numbers(), **({"loss": "mse"} | options), **QUIET)

    def test_data_that_does_not_fit_is_refused(self):
        x, y = numbers()
        bad = [
            (x, y[:-1]),
            (x, y[:, :-1]),
            (x, y[..., :-1]),
            (x[..., :1], y),
            (x[0], y[0]),
            (x[:0], y[:0]),
            ([x[0], x[1]], [y[0], y[1][:-1]]),
            ([], []),
        ]
        for a, b in bad:
            with pytest.raises(rnnrs.ShapeError):
                small().fit(a, b, loss="mse", **QUIET)
        with pytest.raises(rnnrs.Error):
            small().fit(x, None, loss="mse", **QUIET)

    def test_a_model_that_ends_on_the_last_step_cannot_be_truncated(self):
        model = rnnrs.Sequential(rnnrs.RNN(2, 3), rnnrs.Last())
        with pytest.raises(rnnrs.UnsupportedError):
            model.fit(np.zeros((2, 8, 2)), np.zeros((2, 3)), loss="mse", bptt=4, **QUIET)


def test_the_loss_of_a_batch_does_not_depend_on_the_number_of_threads():
    x, y = numbers(rows=40, steps=30)
    before = rnnrs.get_num_threads()
    values = []
    try:
        for threads in (1, 2, 3):
            rnnrs.set_num_threads(threads)
            value, gradients = small().value_and_grad(x, y, loss="mse")
            values.append((value, gradients))
    finally:
        rnnrs.set_num_threads(before)
    for (a, ga), (b, gb) in itertools.pairwise(values):
        assert a == b
        assert_same_gradients(ga, gb)
