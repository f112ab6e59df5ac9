"""Models exported for CUDA agree with the engine on the device, and their recurrences run there."""

import numpy as np
import pytest

import rnnrs
from benchmarks.exported import agreement
from benchmarks.exported.models import MODES, model
from configurations import CELLS, Configuration
from rnnrs_onnx import Session

# Law 9's, but in float32: what is fed back, here through up to sixteen steps, carries rounding along.
BOUNDS = {"float32": 1e-4, "float64": 1e-10, "float16": 2e-2}
HEAVY = {"RNN", "GRU", "LSTM", "Scan", "Loop", "MatMul", "Gemm", "FusedMatMul", "FusedGemm"}
LSTM, RELU = Configuration("lstm", {}), Configuration("elman", {"nonlinearity": "relu"})
PEEPHOLE, MIN_GRU, LRU = (
    Configuration("lstm", {"peephole": True}),
    Configuration("min_gru", {}),
    Configuration("lru", {}),
)


def run(path, device):
    """A session that binds inputs and outputs, which on a GPU every one does."""
    session = Session(path, device)
    session._bind = True
    return session


def check(made, path, device, tell, name, bound, **options):
    report = made.to_onnx(path, target="cuda", verify=False, **options)
    session = run(path, device)
    difference = agreement.difference(made, session, rows=6)
    shape = [{"batch": 6, "time": 3}.get(extent, extent) for extent in session.inputs[report.inputs[0]][1]]
    lengths = np.array([3, 2, 1, 0, 3, 2]) if options.get("lengths") else None
    fallbacks = session.fallbacks(np.zeros(shape), lengths)
    tell(name, difference, fallbacks)
    assert difference <= bound
    assert not HEAVY & set(fallbacks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
def test_every_cell(configuration, mode, device, tmp_path, tell):
    name = f"{configuration.name} {mode}"
    made = model(configuration, 3, 4)
    check(made, tmp_path / "m.onnx", device, tell, name, BOUNDS["float32"], mode=mode, lengths=mode == "sequence")


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("configuration", [LSTM, Configuration("gru", {}), PEEPHOLE, MIN_GRU], ids=lambda c: c.name)
def test_other_dtypes(configuration, dtype, device, tmp_path, tell):
    made = model(configuration, 3, 4, dtype="float64" if dtype == "float64" else "float32")
    check(made, tmp_path / "m.onnx", device, tell, f"{configuration.name} {dtype}", BOUNDS[dtype], dtype=dtype)


@pytest.mark.parametrize("zero_state", [False, True])
@pytest.mark.parametrize("configuration", [LSTM, RELU, PEEPHOLE, LRU], ids=lambda c: c.name)
def test_two_directions(configuration, zero_state, device, tmp_path, tell):
    made = model(configuration, 3, 4, bidirectional=True, num_layers=2)
    if zero_state:
        made.to_onnx(tmp_path / "m.onnx", target="cuda", zero_state=True, lengths=True, verify=False)
        x, lengths = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32), np.array([5, 0, 2])
        np.testing.assert_allclose(
            run(tmp_path / "m.onnx", device)(x, lengths), made(x, lengths), rtol=0, atol=BOUNDS["float32"]
        )
    else:
        name = f"{configuration.name} in two directions"
        check(made, tmp_path / "m.onnx", device, tell, name, BOUNDS["float32"], lengths=True)


def test_tokens_are_generated_there(device, tmp_path):
    made = rnnrs.Sequential(rnnrs.Embedding(7, 4), rnnrs.GRU(4, 5), rnnrs.Linear(5, 7), seed=0)
    for sample in ("argmax", "random"):
        made.to_onnx(tmp_path / "m.onnx", target="cuda", mode="loop", sample=sample, verify=False)
        options = {"seed": 1} if sample == "random" else {}
        session, plain = run(tmp_path / "m.onnx", device), Session(tmp_path / "m.onnx")
        start = np.array([0, 3, 6])
        np.testing.assert_array_equal(session.generate(start, 8, **options), plain.generate(start, 8, **options))


def test_states_stay_there(device, tmp_path):
    rnnrs.LSTM(3, 4, seed=0).to_onnx(tmp_path / "m.onnx", target="cuda", mode="step", verify=False)
    session = run(tmp_path / "m.onnx", device)
    session(np.zeros((2, 3)))
    assert {value.device_name() for value in session._state.values()} == {device}
    # A state from outside is taken in, and one of other rows is refused.
    session.state = {name: np.ones((1, 2, 4)) for name in session.state}
    session(np.zeros((2, 3)))
    with pytest.raises(rnnrs.ShapeError, match="3 rows"):
        session(np.zeros((3, 3)))


def test_what_counts_as_a_fallback(tmp_path, monkeypatch):
    """Operators on lengths and shapes do not, all that compute with floating-point numbers do."""
    rnnrs.LSTM(3, 4, seed=0).to_onnx(tmp_path / "m.onnx", lengths=True, verify=False)
    session = Session(tmp_path / "m.onnx")
    x, lengths = np.zeros((5, 2, 3)), np.array([5, 0])
    assert session.fallbacks(x, lengths) == {}
    everything = session.placement(x, lengths)["CPUExecutionProvider"]
    events = session._events(x, lengths, {})
    # As if CUDA had been asked for and had taken nothing.
    session.device = "cuda"
    monkeypatch.setattr(session, "_events", lambda *_: events)
    fallen = session.fallbacks(x, lengths)
    assert fallen["LSTM"] == 1
    assert {"Shape", "Range", "Less"} <= set(everything) - set(fallen)


def test_cuda_is_not_replaced_in_silence(tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    rnnrs.GRU(3, 4, seed=0).to_onnx(tmp_path / "m.onnx", target="cuda", verify=False)
    providers = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    with pytest.raises(rnnrs.UnsupportedError, match="pip install onnxruntime-gpu"):
        Session(tmp_path / "m.onnx", "cuda")
    # onnxruntime drops a provider whose libraries are missing.
    opened = onnxruntime.InferenceSession
    providers.append("CUDAExecutionProvider")
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda path, options, providers, **more: opened(path, options, providers[1:], **more),
    )
    with pytest.raises(rnnrs.UnsupportedError, match="could not be loaded"):
        Session(tmp_path / "m.onnx", "cuda")
