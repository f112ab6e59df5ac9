"""Time in parallel: scan="parallel" equals the loop within a bound, and itself to the bit for any number of threads."""

import numpy as np
import pytest

import rnnrs
from cases import flat
from rnnrs import cells

LINEAR = {
    "min_gru": lambda: cells.MinGRU(3, 4),
    "min_lstm": lambda: cells.MinLSTM(3, 4),
    "sru": lambda: cells.SRU(3, 4),
    "sru-tanh": lambda: cells.SRU(4, 4, nonlinearity="tanh"),
    "qrnn-f": lambda: cells.QRNN(3, 4, pooling="f"),
    "qrnn-fo": lambda: cells.QRNN(3, 4, kernel_size=1),
    "qrnn-ifo": lambda: cells.QRNN(3, 4, kernel_size=4, pooling="ifo"),
    "lru": lambda: cells.LRU(3, 4),
    "indrnn-identity": lambda: cells.IndRNN(3, 4, nonlinearity="identity", steps=700),
}
BOUND = {"float64": 1e-11, "float32": 1e-4}
"""Of a difference, relative to the largest magnitude in its array."""

STEPS, ROWS = 700, 3
LENGTHS = (None, [700, 0, 300], [256, 257, 513])


def run(make, scan, dtype, lengths, threads=1, **options):
    """Everything that a recording and its backward pass give, as a dict of arrays."""
    cell = make()
    model = rnnrs.Recurrent(cell, scan=scan, dtype=dtype, seed=3, **options)
    draw = np.random.default_rng(5)
    x = draw.standard_normal((STEPS, ROWS, model.input_size)).astype(dtype)
    threads_before = rnnrs.get_num_threads()
    rnnrs.set_num_threads(threads)
    try:
        tape = model.record(x, lengths=lengths)
        dstate = [draw.standard_normal(s.shape).astype(dtype) for s in flat(tape.state)]
        dstate = dstate[0] if len(dstate) == 1 else tuple(dstate)
        grads = tape.backward(draw.standard_normal(tape.y.shape).astype(dtype), dstate)
    finally:
        rnnrs.set_num_threads(threads_before)
    states = {f"state {i}": s for i, s in enumerate(flat(tape.state))}
    before = {f"gradient of state {i}": s for i, s in enumerate(flat(grads.state))}
    return {"y": tape.y, "dx": grads.x, **states, **before, **grads.params}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LINEAR)
def test_equal_to_the_loop_within_a_bound(name, dtype):
    for lengths in LENGTHS:
        for options in ({}, {"bidirectional": True, "num_layers": 2}):
            parallel = run(LINEAR[name], "parallel", dtype, lengths, **options)
            loop = run(LINEAR[name], "loop", dtype, lengths, **options)
            for what, expected in loop.items():
                scale = max(1.0, float(np.abs(expected).max()))
                worst = float(np.abs(parallel[what] - expected).max())
                assert worst <= BOUND[dtype] * scale, f"{what}: {worst} of {scale}, lengths {lengths}, {options}"


@pytest.mark.parametrize("name", LINEAR)
def test_same_bits_for_any_number_of_threads(name):
    one, two, five = (run(LINEAR[name], "parallel", "float32", LENGTHS[1], threads) for threads in (1, 2, 5))
    for what, expected in one.items():
        assert expected.tobytes() == two[what].tobytes() == five[what].tobytes(), what


def test_a_short_sequence_is_the_loop():
    x = np.random.default_rng(1).standard_normal((256, 2, 3)).astype(np.float32)
    models = [rnnrs.Recurrent(cells.MinGRU(3, 4), scan=scan, seed=1) for scan in ("loop", "parallel")]
    (a, _), (b, _) = (model(x) for model in models)
    assert a.tobytes() == b.tobytes()


def test_it_is_saved_with_the_model(tmp_path):
    model = rnnrs.Recurrent(cells.LRU(3, 4), scan="parallel", seed=1)
    model.save(tmp_path / "m.safetensors")
    x = np.random.default_rng(1).standard_normal((600, 1, 3))
    assert model(x)[0].tobytes() == rnnrs.load(tmp_path / "m.safetensors")(x)[0].tobytes()


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (cells.GRU(3, 4), "linear"),
        (cells.IndRNN(3, 4), "linear"),
        (cells.SRU(3, 4, state_gates=True), "linear"),
        (cells.MinGRU(3, 4, zoneout=0.1), "zoneout"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_other_recurrences_are_refused(cell, what):
    with pytest.raises(rnnrs.UnsupportedError, match=what):
        rnnrs.Recurrent(cell, scan="parallel")


def test_an_unknown_scan_is_refused():
    with pytest.raises(rnnrs.InvalidValueError, match="parallel"):
        rnnrs.Recurrent(cells.MinGRU(3, 4), scan="sideways")
