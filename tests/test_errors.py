"""Every variant of the engine's error enum has a case here that raises it, as the right class of Python."""

import errno
import json
import os
import signal
import sys

import numpy as np
import pytest

import rnnrs

ROOTS = {
    rnnrs.ShapeError: ValueError,
    rnnrs.DtypeError: ValueError,
    rnnrs.InvalidValueError: ValueError,
    rnnrs.UnsupportedError: NotImplementedError,
    rnnrs.FileError: ValueError,
    rnnrs.StaleTapeError: RuntimeError,
}


def shape(path):
    rnnrs._core.Model(ELMAN).forward(np.zeros((2, 2, 5), np.float32))


def dtype(path):
    rnnrs._core.Model(ELMAN).forward(np.zeros((2, 2, 1), np.float64))


def value(path):
    rnnrs.LSTM(1, 2, zoneout=2.0)


def unsupported(path):
    rnnrs.Sequential(rnnrs.LSTM(1, 2, batch_first=True))


def unsupported_by_the_engine(path):
    """A stream of what runs backwards in time."""
    rnnrs.LSTM(1, 2, bidirectional=True).stream()


def file(path):
    (path / "model").write_bytes(b"no model")
    rnnrs.load(path / "model")


def stale(path):
    model = rnnrs.LSTM(1, 2)
    tape = model.record(np.zeros((2, 1, 1)))
    model.load_state_dict(model.state_dict())
    tape.backward(tape.y)


def io(path):
    rnnrs.LSTM(1, 2).save(path / "no such folder" / "model")


def memory(path):
    # More than any machine has, by sizes that are each allowed.
    rnnrs.Embedding(2**31 - 1, 2**20)


def interrupted(path):
    if sys.platform == "win32":
        pytest.skip("no signals")
    model = rnnrs.LSTM(64, 256, seed=0)
    x = np.zeros((40000, 8, 64), np.float32)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        model(x)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# The smallest recurrent model, as the package describes it to the engine.
ELMAN = json.dumps(json.loads(rnnrs.RNN(1, 2, seed=0)._native.spec))

CASES = {
    "Shape": [(shape, rnnrs.ShapeError)],
    "Dtype": [(dtype, rnnrs.DtypeError)],
    "Value": [(value, rnnrs.InvalidValueError)],
    "Unsupported": [(unsupported, rnnrs.UnsupportedError), (unsupported_by_the_engine, rnnrs.UnsupportedError)],
    "File": [(file, rnnrs.FileError)],
    "Stale": [(stale, rnnrs.StaleTapeError)],
    "Io": [(io, OSError)],
    "Memory": [(memory, MemoryError)],
    "Interrupted": [(interrupted, KeyboardInterrupt)],
}


def test_every_variant_has_a_case():
    assert set(rnnrs._core.error_variants()) == set(CASES)


@pytest.mark.parametrize(
    ("raises", "error"), [pytest.param(*case, id=case[0].__name__) for cases in CASES.values() for case in cases]
)
def test_case(raises, error, tmp_path):
    with pytest.raises(error) as caught:
        raises(tmp_path)
    text = str(caught.value)
    assert "panicked" not in text
    if issubclass(error, rnnrs.Error):
        assert "expected" in text, text


@pytest.mark.parametrize("error", ROOTS)
def test_classes(error):
    assert issubclass(error, rnnrs.Error)
    assert issubclass(error, ROOTS[error])
    assert error is getattr(rnnrs._core, error.__name__)


def test_a_failure_of_the_system_keeps_its_number(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        rnnrs.LSTM(1, 2).save(tmp_path / "no" / "model")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(FileNotFoundError):
        rnnrs.load(tmp_path / "none")
    with pytest.raises(OSError):
        rnnrs.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        rnnrs.LSTM(1, 2).save(tmp_path / "model")


SPECS = [
    "",
    "{}",
    "[]",
    "null",
    '{"prefix": false}',
    '{"prefix": false, "layers": []}',
    '{"prefix": false, "layers": [{}]}',
    '{"prefix": false, "layers": [{"layer": "attention"}]}',
    '{"prefix": 3, "layers": [{"layer": "linear", "in_features": 1, "out_features": 1, "bias": true}]}',
    '{"prefix": false, "layers": [{"layer": "linear", "in_features": 1, "out_features": 1, "bias": true}], "more": 1}',
    '{"prefix": false, "layers": [{"layer": "linear", "in_features": -1, "out_features": 1, "bias": true}]}',
    '{"prefix": false, "layers": [{"layer": "linear", "in_features": 1e400, "out_features": 1, "bias": true}]}',
    ELMAN.replace("elman", "helman"),
    ELMAN.replace('"hidden_size": 2', '"hidden_size": 0'),
    ELMAN.replace('"hidden_size": 2', '"hidden_size": 18446744073709551615'),
    ELMAN.replace('"num_layers": 1', '"num_layers": 4294967296'),
    "[" * 100000,
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s[:60])
def test_a_model_that_is_not_described_right_is_refused(spec):
    with pytest.raises((rnnrs.Error, MemoryError)):
        rnnrs._core.Model(spec)


def test_the_core_checks_for_itself():
    """What the package would have caught: wrong ranks, states, lengths, names."""
    core = rnnrs._core.Model(ELMAN, "float32", 0)
    x = np.zeros((3, 2, 1), np.float32)
    h = np.zeros((2, 2), np.float32)
    wrong = [
        lambda: core.forward(x[0]),
        lambda: core.forward(x, [h, h]),
        lambda: core.forward(x, [h[:1]]),
        lambda: core.forward(x, [h.astype(np.float64)]),
        lambda: core.forward(x, None, np.array([1, 2, 3])),
        lambda: core.forward(x, None, np.array([1, 4])),
        lambda: core.forward(x, None, np.array([1, -1])),
        lambda: core.forward(x.astype(np.int64)),
        lambda: core.record(x).backward(np.zeros((3, 2, 3), np.float32)),
        lambda: core.record(x).backward(np.zeros((3, 2, 2), np.float32), [None, None]),
        lambda: core.record(x).backward(np.zeros((3, 2, 2), np.float64)),
        lambda: core.value_and_grad(x, np.zeros((3, 2, 2), np.float32), "{}"),
        lambda: core.value_and_grad(x, np.zeros((3, 2, 2), np.float32), '{"loss": "mse", "more": 1}'),
        lambda: core.value_and_grad(x, np.zeros((3, 2), np.int64), '{"loss": "mse"}'),
        lambda: core.value_and_grad(x, np.zeros((3, 2, 2), np.float32), '{"loss": "cross_entropy"}'),
        lambda: core.set({"weight": h}),
        lambda: core.get("weight"),
        lambda: core.stream().step(np.zeros(2, np.float32)),
        lambda: rnnrs._core.Optimizer('{"optimizer": "adam", "beta1": 2.0}'),
        lambda: rnnrs._core.Optimizer('{"optimizer": "lion"}'),
        lambda: rnnrs._core.Optimizer.from_bytes(b""),
        lambda: rnnrs._core.schedule('{"schedule": "linear"}', 0),
        lambda: rnnrs._core.set_num_threads(0),
        lambda: rnnrs._core.Model(ELMAN, "float16"),
        lambda: rnnrs._core.Model.from_bytes(b""),
    ]
    for call in wrong:
        with pytest.raises((rnnrs.Error, KeyError)) as caught:
            call()
        assert "panicked" not in str(caught.value)


def test_a_stale_tape_says_so_whatever_changed_the_parameters():
    model = rnnrs.LSTM(1, 2)
    x = np.zeros((2, 1, 1))

    def learn(model):
        rnnrs.optim.SGD(0.1).step(model, model.value_and_grad(x, np.zeros((2, 1, 2)), loss="mse")[1])

    for change in (learn, lambda m: m.load_state_dict(m.state_dict())):
        tape = model.record(x)
        change(model)
        with pytest.raises(rnnrs.StaleTapeError, match="expected"):
            tape.backward(np.zeros((2, 1, 2)))
