"""The chunker and the automatizer against their definition in NumPy, their files, bits, history and errors."""

import copy
import importlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import rnnrs
from cases import assert_same_bits
from test_law_04_same_bits import paths

FIELDS = ("probability", "predicted", "targets", "failures", "predictions", "automatizer_states", "chunker_states")


def both(symbols=4, seed=3, dtype="float64", automatizer=rnnrs.LSTM, chunker=rnnrs.RNN, **options):
    return rnnrs.ChunkerAutomatizer(
        symbols, lambda n: automatizer(n, 6), lambda n: chunker(n, 5), seed=seed, dtype=dtype, **options
    )


def stream(steps=60, symbols=4, targets=0, seed=0):
    """Symbols with some order in them, and targets of which most are not asked."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(steps) < 0.8, np.arange(steps) % symbols, rng.integers(0, symbols, steps))
    if not targets:
        return x, None
    asked = np.where(rng.random((steps, targets)) < 0.4, rng.integers(0, 2, (steps, targets)), np.nan)
    return x, asked


def same(a, b, what):
    """Arrays to the bit; of yes and no, as numbers."""
    assert_same_bits(*(np.asarray(x, np.float32) if x.dtype == bool else x for x in (a, b)), what)


def same_work(a, b):
    for name in FIELDS:
        some, other = getattr(a, name), getattr(b, name)
        assert (some is None) == (other is None)
        if some is not None:
            same(some, other, name)


def same_parameters(a, b):
    for net in ("automatizer", "chunker"):
        some, other = getattr(a, net).state_dict(), getattr(b, net).state_dict()
        assert some.keys() == other.keys()
        for name, value in some.items():
            assert_same_bits(value, other[name], f"{net} {name}")


class Reference:
    """The definition, a step at a time, over models, tapes and optimizers of the public interface."""

    class Net:
        def __init__(self, model, optimizer, bptt, every, clip):
            self.model, self.optimizer, self.clip = model, optimizer, clip
            self.bptt, self.every, self.errors = bptt, every, []
            self.inputs, self.states, self.y, self.tape = [], [None], np.zeros(model._model.output_size), None

        def state(self):
            if self.states[-1] is None:
                return np.zeros(sum(width for *_, width in self.model._model.states))
            (layer,) = self.states[-1]
            return np.concatenate([array.ravel() for array in (layer if isinstance(layer, tuple) else (layer,))])

        def step(self, x):
            # Since the last update, and bptt - 1 steps before it.
            kept = len(self.errors) + self.bptt
            self.inputs = [*self.inputs, x][-kept:]
            self.states = self.states[-kept:]
            self.tape = self.model.record(np.array(self.inputs)[None], self.states[0], training=False)
            self.states.append(self.tape.state)
            self.y = self.tape.y[0, -1]

        def learn(self, error):
            self.errors.append(error)
            if len(self.errors) < self.every:
                return
            dy = np.zeros_like(self.tape.y)
            dy[0, -self.every :] = np.array(self.errors) / self.every
            self.errors = []
            gradients = self.tape.backward(dy)
            gradients.clip_norm(self.clip)
            self.optimizer.step(self.model, gradients)

    def __init__(self, nets, optimizer):
        s = self.s = nets.settings
        self.a = self.Net(copy.deepcopy(nets.automatizer), optimizer(), s["bptt"], s["every"], s["clip_norm"])
        self.c = self.Net(copy.deepcopy(nets.chunker), optimizer(), s["bptt"], 1, s["clip_norm"])
        self.elapsed = 0

    def activation(self, y):
        p = np.array(y)
        n, k = self.s["symbols"], self.s["targets"]
        p[:n] = np.exp(p[:n] - p[:n].max())
        p[:n] /= p[:n].sum()
        p[n : n + k] = 1 / (1 + np.exp(-p[n : n + k]))
        return p

    def goal(self):
        return np.concatenate([self.c.state(), self.activation(self.c.y)])

    def step(self, symbol, targets):
        n, k = self.s["symbols"], self.s["targets"]
        asked = ~np.isnan(targets)
        p = self.activation(self.a.y[: n + k])
        agreed = np.where(targets == 1, p[n:], 1 - p[n:])[asked].min(initial=1)
        if self.s["threshold"] is None:
            failed = p[:n].argmax() != symbol or agreed < 0.5
        else:
            failed = min(p[symbol], agreed) < self.s["threshold"]
        failed = failed or self.a.tape is None
        context = self.a.state()

        def error(p):
            wrong = p.copy()
            wrong[symbol] -= 1
            wrong[n:] = np.where(asked, wrong[n:] - np.nan_to_num(targets), 0)
            return wrong

        if self.a.tape is not None:
            imitation = self.s["balance"] * (self.a.y[n + k :] - self.goal())
            self.a.learn(np.concatenate([error(p), imitation]))
        x = np.concatenate([np.eye(n)[symbol], np.nan_to_num(targets)])
        self.a.step(x)
        self.elapsed += 1
        if failed:
            account = {"time": [np.log(self.elapsed) / 10], "state": context, "none": []}[self.s["account"]]
            x = np.concatenate([x, account])
            if self.c.tape is not None:
                predicted = self.activation(self.c.y)
                self.c.learn(np.concatenate([error(predicted[: n + k]), predicted[n + k :] - x[n + k :]]))
            self.c.step(x)
            self.elapsed = 0
        return p[symbol], failed


@pytest.mark.parametrize(
    "options",
    [
        {"account": "time", "threshold": 0.6, "bptt": 3},
        {"account": "state", "threshold": None, "bptt": 1, "targets": 2},
        {"account": "none", "threshold": 0.25, "bptt": 5, "targets": 1, "balance": 0.3},
        {"account": "time", "threshold": 0.3, "bptt": 3, "every": 4, "targets": 1},
        {"account": "state", "threshold": None, "bptt": 1, "every": 7},
    ],
    ids=lambda options: f"{options['account']}-{options.get('every', 1)}",
)
def test_online_learning_is_what_the_definition_says(options):
    nets = both(**options, clip_norm=0.5, optimizer=rnnrs.optim.Adam(0.02))
    reference = Reference(nets, lambda: rnnrs.optim.Adam(0.02))
    x, targets = stream(targets=options.get("targets", 0))
    work = nets.fit(x, targets)
    asked = np.empty((len(x), 0)) if targets is None else targets
    found = [reference.step(symbol, row) for symbol, row in zip(x, asked, strict=True)]
    np.testing.assert_allclose(work.probability, [p for p, _ in found], rtol=1e-9)
    np.testing.assert_array_equal(work.failures, [failed for _, failed in found])
    assert 5 < work.failures.sum() < len(x)
    for net, model in ((nets.automatizer, reference.a.model), (nets.chunker, reference.c.model)):
        for name, value in net.state_dict().items():
            np.testing.assert_allclose(value, model.state_dict()[name], rtol=1e-8, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("account", ["time", "state", "none"])
def test_offline_learning_is_what_the_definition_says(account):
    """With plain gradient descent the update is the gradient, which finite differences of the error confirm."""
    nets = both(account=account, targets=1, threshold=0.24, balance=0.7, clip_norm=None, optimizer=rnnrs.optim.SGD(1.0))
    x, targets = stream(12, targets=1)
    before = copy.deepcopy(nets)
    (work,) = nets.fit_sequences([x], [targets])
    events = np.flatnonzero(work.failures)
    assert 2 < len(events) < len(x)
    define = Reference(before, lambda: None)
    s, n = before.settings, before.settings["symbols"]
    read = np.column_stack([np.eye(n)[x], np.nan_to_num(targets)])
    states = [np.concatenate([a[:, 0, 0] for a in before.automatizer.states(read[None])[0]], axis=1)]
    context = np.vstack([np.zeros((1, states[0].shape[1])), states[0][:-1]])[events]
    since = np.diff(events, prepend=-1)[:, None]
    told = np.column_stack(
        [read[events], {"time": np.log(since) / 10, "state": context, "none": since[:, :0]}[account]]
    )
    heard = before.chunker(told[None])[0]
    h = before.chunker.states(told[None])[0][:, 0, 0]
    goals = np.array([np.concatenate([a, define.activation(o)]) for a, o in zip(h, heard, strict=True)])
    goal = goals[np.searchsorted(events, np.arange(len(x)), side="right") - 1]

    def surprise(y, symbol, target):
        p = define.activation(y)
        lost = -np.log(p[symbol])
        return lost if np.isnan(target) else lost - np.log(p[n] if target == 1 else 1 - p[n])

    def automatizer_error(model):
        y, total = model(read[None])[0], 0.0
        for t in range(1, len(x)):
            total += surprise(y[t - 1][: n + 1], x[t], targets[t, 0])
            total += s["balance"] / 2 * ((y[t - 1][n + 1 :] - goal[t - 1]) ** 2).sum()
        return total / len(x)

    def chunker_error(model):
        y, total = model(told[None])[0], 0.0
        for event in range(1, len(events)):
            t = events[event]
            total += surprise(y[event - 1], x[t], targets[t, 0])
            total += ((y[event - 1][n + 1 :] - told[event][n + 1 :]) ** 2).sum() / 2
        return total / len(events)

    for net, error in (("automatizer", automatizer_error), ("chunker", chunker_error)):
        old, new = getattr(before, net).state_dict(), getattr(nets, net).state_dict()
        for name, value in old.items():
            direction = np.random.default_rng(1).normal(size=value.shape)
            ends = []
            for sign in (1e-5, -1e-5):
                moved = copy.deepcopy(getattr(before, net))
                moved.load_state_dict({**old, name: value + sign * direction})
                ends.append(error(moved))
            measured = ((value - new[name]) * direction).sum()
            assert measured == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-8), name


@pytest.mark.parametrize("every", [1, 4])
def test_one_long_call_or_many_short_ones(every):
    x, targets = stream(90, targets=1)
    whole, pieces = both(targets=1, every=every), both(targets=1, every=every)
    long = whole.fit(x, targets, detail=True)
    short = [pieces.fit(x[at : at + 7], targets[at : at + 7], detail=True) for at in range(0, len(x), 7)]
    for name in FIELDS:
        same(getattr(long, name), np.concatenate([getattr(part, name) for part in short]), name)
    same_parameters(whole, pieces)


@pytest.mark.parametrize(("dtype", "every"), [("float32", 1), ("float64", 1), ("float32", 7)])
def test_what_is_read_from_a_file_learns_on_with_the_same_bits(dtype, every, tmp_path):
    x, targets = stream(90, targets=1)

    def dropping(inputs):
        return rnnrs.Recurrent(rnnrs.cells.GRU(inputs, 6), num_layers=2, dropout=0.3, zoneout=0.2)

    options = {"targets": 1, "account": "state", "every": every, "dtype": dtype, "seed": 1}
    nets = rnnrs.ChunkerAutomatizer(4, dropping, dropping, **options)
    nets.fit(x[:40], targets[:40])
    nets.metadata["of"] = 'a "chunker_automatizer"'
    path = tmp_path / "both.safetensors"
    nets.save(path)
    others = [rnnrs.load(path), pickle.loads(pickle.dumps(nets)), copy.deepcopy(nets)]
    path.unlink()
    rest = nets.fit(x[40:], targets[40:], detail=True)
    for other in others:
        assert (other.metadata, other.settings, repr(other)) == (nets.metadata, nets.settings, repr(nets))
        same_work(other.fit(x[40:], targets[40:], detail=True), rest)
        same_parameters(other, nets)
        for name, values in nets.history.items():
            assert_same_bits(values, other.history[name], name)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "both.safetensors"
    nets = both()
    nets.fit(stream()[0])
    nets.save(path)
    data = path.read_bytes()
    for damaged in [data[:-1], data[: len(data) // 2], data[:1000] + b"x" + data[1001:], data[:-5] + b"00000"]:
        path.write_bytes(damaged)
        with pytest.raises(rnnrs.FileError):
            rnnrs.load(path)
    nets.automatizer.save(path)
    assert isinstance(rnnrs.load(path), rnnrs.Sequential)


BITS = """
import hashlib, json
import numpy as np, rnnrs
from test_chunker import both, stream
x, targets = stream(120, targets=1)
nets = both(dtype="float32", targets=1, automatizer=rnnrs.GRU)
work = nets.fit(x, targets, detail=True)
nets.fit_sequences([x, x[:30]], [targets, targets[:30]])
arrays = [*vars(work).values(), *nets.automatizer.state_dict().values(), *nets.chunker.state_dict().values()]
print(hashlib.sha256(b"".join(a.tobytes() for a in [*arrays, *nets.history.values()])).hexdigest())
"""


def test_every_simd_path_and_number_of_threads_gives_the_same_bits(run_script):
    ways = [{"RNNRS_SIMD": path} for path in paths()] + [{"RNNRS_NUM_THREADS": str(n)} for n in (1, 2, 4)]
    assert len({run_script(BITS, environment=way) for way in ways}) == 1


def test_a_seed_makes_it_reproducible():
    x, _ = stream()
    some, same, other = both(), both(), both(seed=4)
    for nets in (some, same, other):
        nets.fit(x)
    same_parameters(some, same)
    assert (some.automatizer.state_dict()["1.bias"] != other.automatizer.state_dict()["1.bias"]).any()


def test_running_learns_nothing_and_the_automatizer_is_a_model_like_any_other():
    nets = both(seed=5)
    x, _ = stream(30)
    before = copy.deepcopy(nets)
    work = nets.run(x, detail=True)
    same_parameters(before, nets)
    assert not nets.history["steps"].size
    y = nets.automatizer(np.eye(4)[x][None])[0]
    p = np.exp(y[:-1, :4]) / np.exp(y[:-1, :4]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(work.predictions[1:], p, rtol=1e-12)
    np.testing.assert_array_equal(work.predicted, work.predictions.argmax(axis=1))
    np.testing.assert_array_equal(work.probability, work.predictions[np.arange(30), x])
    states = nets.automatizer.states(np.eye(4)[x][None])[0]
    np.testing.assert_allclose(
        work.automatizer_states, np.concatenate([s[:, 0, 0] for s in states], axis=1), rtol=1e-12
    )
    # The chunker stands still where nothing failed.
    still = (np.diff(work.chunker_states, axis=0) == 0).all(axis=1)
    np.testing.assert_array_equal(still, ~work.failures[1:])
    nets.reset()
    same_work(nets.run(x, detail=True), work)


def test_parameters_that_are_set_count_at_once():
    x, _ = stream(20)
    nets = both()
    nets.run(x)
    zeros = {name: np.zeros_like(value) for name, value in nets.automatizer.state_dict().items()}
    nets.automatizer.load_state_dict(zeros)
    assert nets.fit(x[:1]).probability[0] == 0.25


def test_with_balance_0_the_imitation_learns_nothing():
    nets = both(balance=0.0)
    before = nets.automatizer.state_dict()["1.weight"]
    nets.fit(stream()[0])
    after = nets.automatizer.state_dict()["1.weight"]
    assert_same_bits(before[4:], after[4:], "imitation")
    assert (before[:4] != after[:4]).any()


def test_the_history_adds_up(tmp_path):
    nets = both(dtype="float32")
    x, _ = stream(2300)
    work = nets.fit(x)
    history = nets.history
    np.testing.assert_array_equal(history["steps"], [1000, 2000, 2300])
    failures = [part.mean() for part in np.split(work.failures, [1000, 2000])]
    np.testing.assert_allclose(history["failures"], failures)
    surprise = [part.mean() for part in np.split(-np.log(work.probability), [1000, 2000])]
    np.testing.assert_allclose(history["prediction"], surprise, rtol=1e-5)
    assert history["prediction"][-1] < history["prediction"][0]
    assert (history["imitation"] > 0).all()
    assert (history["chunker"] > 0).all()
    pytest.importorskip("matplotlib")
    figure = nets.plot(tmp_path / "work.png")
    assert len(figure.axes) == 2
    assert (tmp_path / "work.png").stat().st_size > 1000


def test_schedules_are_followed():
    slow = rnnrs.optim.SGD(0.1, schedule=rnnrs.schedules.Step(1, 1e-30))
    nets, x = both(optimizer=slow), stream(20)[0]
    nets.fit(x[:3])  # The first update has the whole rate, the others none to speak of.
    before = nets.automatizer.state_dict()
    nets.fit(x[3:])
    for name, value in before.items():
        assert_same_bits(value, nets.automatizer.state_dict()[name], name)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"symbols": 1}, ValueError, "symbols: expected at least 2, got 1"),
        ({"account": "date"}, ValueError, "account: expected one of time, state, none, got 'date'"),
        ({"threshold": 0.0}, ValueError, "threshold"),
        ({"balance": -1.0}, ValueError, "balance"),
        ({"bptt": 0}, ValueError, "bptt"),
        ({"every": 0}, ValueError, "every"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm"),
        ({"automatizer": lambda n, h: rnnrs.RNN(n + 1, h)}, rnnrs.ShapeError, "expected a layer of 4 features"),
        ({"chunker": lambda n, h: 3}, rnnrs.DtypeError, "expected a function that returns a layer"),
        ({"chunker": lambda n, h: rnnrs.RNN(n, h, bidirectional=True)}, rnnrs.UnsupportedError, "one direction"),
        (
            {"optimizer": rnnrs.optim.SGD(0.1, schedule=rnnrs.schedules.ReduceOnPlateau())},
            rnnrs.UnsupportedError,
            "ReduceOnPlateau",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        both(**options)


def test_data_that_do_not_fit_are_refused_and_change_nothing():
    nets = both(targets=1)
    before = copy.deepcopy(nets)
    for x, targets, error in [
        ([0, 4], None, rnnrs.InvalidValueError),
        ([0, -1], None, rnnrs.InvalidValueError),
        ([[0, 1]], None, rnnrs.ShapeError),
        ([0.5, 1.0], None, rnnrs.DtypeError),
        ([0, 1], [0.0, 2.0], rnnrs.InvalidValueError),
        ([0, 1], [0.0], rnnrs.ShapeError),
    ]:
        with pytest.raises(error):
            nets.fit(x, targets)
        with pytest.raises(error):
            nets.fit_sequences([x], [targets])
    with pytest.raises(rnnrs.ShapeError):
        nets.fit_sequences([[0, 1]], [])
    same_parameters(before, nets)
    assert nets.fit([]).probability.shape == (0,)
    assert nets.fit_sequences([[]])[0].failures.shape == (0,)


def test_settings_are_plain_data():
    settings = both(targets=2).settings
    assert json.loads(json.dumps(settings)) == settings
    assert (settings["symbols"], settings["targets"], settings["bptt"]) == (4, 2, 3)


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "examples"))
    return importlib.import_module("09_chunker")


def test_the_streams_are_those_of_the_tasks(example):
    rng = np.random.default_rng(0)
    x, first = example.strings("1991", 0, rng)
    assert x.shape == (example.BLOCK, 21)
    assert set(first) == {0, 1}
    assert (x[:, 1:] == np.arange(2, 22)).all()
    for task in ("2a", "2b"):
        x, first = example.strings(task, 7, rng)
        assert x.shape == (example.BLOCK, 8)
        assert ((x[:, 0] == first) & (x[:, -1] == first)).all()
        assert (x[:, 1:-1].min(), x[:, 1:-1].max()) == (2, 7)
        assert (len(np.unique(x[:, 1:-1], axis=0)) == 1) == (task == "2a")
    stream = example.Stream("1991", 0, 3)
    blocks = [stream.block(index) for index in range(3)]
    firsts = np.concatenate([x[:, 0] for x, _ in blocks])
    asked = np.concatenate([targets for _, targets in blocks])
    assert np.isnan(asked[0, 0])
    np.testing.assert_array_equal(asked[1:, 0], firsts[:-1])
    assert np.isnan(asked[:, 1:]).all()


def test_both_nets_solve_the_20_step_task_and_one_alone_does_not(example):
    for seed in (1, 2):
        assert example.train("1991", seed=seed, limit=5000)["solved"]
        assert not example.train("1991", seed=seed, limit=1500, balance=0.0)["solved"]


def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(example, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "SAVED", 2)
    settings = {"p": 5, "tested": 100, "chunker_rate": 2e-3}
    whole = example.train("2a", limit=6 * example.BLOCK, **settings)
    example.train("2a", limit=4 * example.BLOCK, path=tmp_path / "checkpoint", **settings)
    rest = example.train("2a", limit=6 * example.BLOCK, path=tmp_path / "checkpoint", **settings)
    assert {**rest, "seconds": 0} == {**whole, "seconds": 0}
