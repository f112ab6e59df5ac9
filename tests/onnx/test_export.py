"""Files: names, metadata, the same bytes again, large weights; and what happens where something is wrong."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import rnnrs
import rnnrs_onnx
from rnnrs_onnx import _export


@pytest.fixture
def chain():
    layers = rnnrs.Embedding(9, 4), rnnrs.LSTM(4, 5, num_layers=2), rnnrs.Dropout(0.1), rnnrs.Linear(5, 9)
    return rnnrs.Sequential(*layers, seed=1)


def described(values):
    """{name: dimensions} of inputs or outputs."""
    return {value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}


def test_names_and_dimensions_of_a_chain(chain, tmp_path):
    chain.to_onnx(tmp_path / "m.onnx", lengths=True)
    graph = onnx.load(tmp_path / "m.onnx").graph
    state = {"1.h": [2, "batch", 5], "1.c": [2, "batch", 5]}
    assert described(graph.input) == {"x": ["batch", "time"], "lengths": ["batch"], **state}
    assert described(graph.output) == {
        "y": ["batch", "time", 9],
        **{f"{name}_next": shape for name, shape in state.items()},
    }


def test_names_and_dimensions_of_a_layer(tmp_path):
    rnnrs.GRU(3, 4, bidirectional=True, seed=0).to_onnx(tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert described(graph.input) == {"x": ["time", "batch", 3], "h": [2, "batch", 4]}
    assert described(graph.output) == {"y": ["time", "batch", 8], "h_next": [2, "batch", 4]}
    rnnrs.GRU(3, 4, batch_first=True, seed=0).to_onnx(tmp_path / "m.onnx", zero_state=True)
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert described(graph.input) == {"x": ["batch", "time", 3]}


def test_names_and_dimensions_of_a_step_and_of_generation(chain, tmp_path):
    chain.to_onnx(tmp_path / "m.onnx", mode="step")
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert described(graph.input)["x"] == ["batch"]
    assert described(graph.output)["y"] == ["batch", 9]
    chain.to_onnx(tmp_path / "m.onnx", mode="loop")
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert list(described(graph.input)) == ["start", "steps", "temperature", "noise.sample", "1.h", "1.c"]
    assert described(graph.output)["y"] == ["batch", "steps"]
    rnnrs.LSTMCell(3, 4, seed=0).to_onnx(tmp_path / "m.onnx", mode="step")
    assert described(onnx.load(tmp_path / "m.onnx").graph.input) == {
        "x": ["batch", 3],
        "h": ["batch", 4],
        "c": ["batch", 4],
    }


def test_metadata(chain, tmp_path):
    chain.metadata["trained on"] = "letters"
    chain.to_onnx(tmp_path / "m.onnx", target="web")
    proto = onnx.load(tmp_path / "m.onnx")
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    assert (proto.producer_name, proto.producer_version) == ("rnnrs", rnnrs.__version__)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 20)]
    assert properties["rnnrs.model"] == chain._native.spec
    assert '"trained on": "letters"' in properties["rnnrs.metadata"]
    assert '"target": "web"' in properties["rnnrs.export"]


@pytest.mark.parametrize("options", [{}, {"mode": "loop"}, {"lengths": True, "target": "cuda"}, {"noise": True}])
def test_the_same_model_gives_the_same_bytes(chain, options, tmp_path, run_script):
    chain.to_onnx(tmp_path / "a.onnx", **options)
    chain.save(tmp_path / "m.safetensors")
    script = f"import rnnrs; rnnrs.load('m.safetensors').to_onnx('b.onnx', **{options})"
    run_script(script, environment={"PYTHONHASHSEED": "7"}, folder=tmp_path)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_users_cell_from_a_file_without_its_class(tmp_path):
    class Mine(rnnrs.Cell):
        def __init__(self):
            super().__init__(input=3, state={"h": 4})

        def step(self, x, h):
            return rnnrs.ops.tanh(self.linear("a", x, h)) * 0.5 + 0.5 * h

    rnnrs.Recurrent(Mine(), seed=0).save(tmp_path / "m.safetensors")
    report = rnnrs.load(tmp_path / "m.safetensors").to_onnx(tmp_path / "m.onnx")
    assert report.parity.largest <= 1e-5
    assert "Mine: Scan (no operator of ONNX has its equations)" in str(report)


def test_explain_prints_the_report(chain, tmp_path, capsys):
    report = chain.to_onnx(tmp_path / "m.onnx", explain=True)
    printed = capsys.readouterr().out
    assert printed.strip() == str(report)
    assert "1.1.0 lstm: LSTM (its equations are those of ONNX's LSTM)" in printed
    assert "at most 1e-05 allowed" in printed


def test_int8_is_reported(chain, tmp_path):
    report = chain.to_onnx(tmp_path / "m.onnx", dtype="int8")
    full = chain.to_onnx(tmp_path / "f.onnx")
    assert 1e-5 < report.parity.largest < 0.1
    assert report.parity.bound is None
    assert "reported only" in str(report)
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert full.parity.largest < 1e-5


def test_weights_beyond_one_file(tmp_path, monkeypatch):
    """Above 2 GiB the weights lie beside the model, under a relative name; here the limit is lowered."""
    chain = rnnrs.Sequential(rnnrs.Embedding(99, 8), rnnrs.LSTM(8, 32), rnnrs.Linear(32, 99), seed=1)
    monkeypatch.setattr(_export, "LARGEST", 1000)
    path = tmp_path / "m.onnx"
    chain.to_onnx(path)
    [data] = tmp_path.glob("m.onnx.*.data")
    proto = onnx.load(path, load_external_data=False)
    places = {e.value for t in proto.graph.initializer for e in t.external_data if e.key == "location"}
    assert places == {data.name}
    before = rnnrs_onnx.Session(path)(np.array([[1, 2, 3]]))
    np.testing.assert_allclose(before, chain([[1, 2, 3]]), rtol=1e-5, atol=1e-5)
    # Another model in its place: the old weights go.
    other = rnnrs.Sequential(*(layer for layer in chain), seed=2)
    other.load_state_dict({name: value * 0.5 for name, value in chain.state_dict().items()})
    other.to_onnx(path)
    [new] = tmp_path.glob("m.onnx.*.data")
    assert new.name != data.name
    monkeypatch.undo()
    other.to_onnx(path)
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


# What is wrong


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "stream"}, rnnrs.InvalidValueError, "mode: expected one of 'sequence', 'step', 'loop', got 'stream'"),
        ({"target": "tpu"}, rnnrs.InvalidValueError, "target: expected one of 'cpu', 'cuda', 'web', got 'tpu'"),
        ({"dtype": "bfloat16"}, rnnrs.InvalidValueError, "dtype: expected one of"),
        ({"scan": "tree"}, rnnrs.InvalidValueError, "scan: expected one of"),
        ({"sample": "beam"}, rnnrs.InvalidValueError, "sample: expected one of"),
        ({"scan": "parallel"}, rnnrs.InvalidValueError, "whose recurrence is not linear"),
        ({"mode": "step", "lengths": True}, rnnrs.UnsupportedError, "lengths: expected mode 'sequence'"),
        ({"mode": "step", "scan": "loop"}, rnnrs.UnsupportedError, "scan: expected mode 'sequence'"),
        ({"sample": "argmax"}, rnnrs.UnsupportedError, "sample: expected mode 'loop' and a model of tokens"),
        ({"mode": "loop", "noise": True}, rnnrs.UnsupportedError, "noise: expected mode 'sequence' or 'step'"),
    ],
)
def test_unknown_options(chain, options, error, message, tmp_path):
    with pytest.raises(error, match=message.replace("(", r"\(")):
        chain.to_onnx(tmp_path / "m.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_modes_that_a_model_does_not_have(tmp_path):
    with pytest.raises(rnnrs.UnsupportedError, match="for a model that reads backwards, got 'step'"):
        rnnrs.GRU(2, 2, bidirectional=True).to_onnx(tmp_path / "m.onnx", mode="step")
    with pytest.raises(rnnrs.UnsupportedError, match="output cannot be its next input"):
        rnnrs.GRU(2, 3).to_onnx(tmp_path / "m.onnx", mode="loop")
    with pytest.raises(rnnrs.UnsupportedError, match="expected 'step' for GRUCell, got 'sequence'"):
        rnnrs.GRUCell(2, 3).to_onnx(tmp_path / "m.onnx")
    normed = rnnrs.Recurrent(rnnrs.cells.IndRNN(2, 3), 2, batch_norm=True)
    for model in (rnnrs.BatchNorm(2), normed):
        with pytest.raises(rnnrs.UnsupportedError, match="noise: expected a model without batch normalisation"):
            model.to_onnx(tmp_path / "m.onnx", noise=True)
    with pytest.raises(rnnrs.DtypeError, match="expected a model of rnnrs, got dict"):
        rnnrs_onnx.export({}, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite(chain, tmp_path, monkeypatch):
    weights = chain.state_dict()
    weights["3.bias"][2] = np.nan
    monkeypatch.setattr(chain, "state_dict", lambda: weights)
    with pytest.raises(rnnrs.InvalidValueError, match=r"expected finite parameters, got NaN or infinity in '"):
        chain.to_onnx(tmp_path / "m.onnx")


def test_places_where_no_file_can_be(chain, tmp_path):
    with pytest.raises(rnnrs.InvalidValueError, match="path: expected the name of a file, got the folder"):
        chain.to_onnx(tmp_path)
    with pytest.raises(FileNotFoundError):
        chain.to_onnx(tmp_path / "nowhere" / "m.onnx")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_folder_that_may_not_be_written(chain, tmp_path):
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path
    if os.geteuid() != 0:
        folder.chmod(0o500)
    with pytest.raises(OSError):
        chain.to_onnx(folder / "m.onnx")


@pytest.mark.parametrize("place", ["write_bytes", "replace"])
def test_a_full_disk_leaves_the_old_file(chain, place, tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, place, full)
    with pytest.raises(OSError, match="No space left"):
        chain.to_onnx(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def test_without_rnnrs_onnx(tmp_path, run_script):
    script = """
import sys
sys.modules["rnnrs_onnx"] = None
import rnnrs
try:
    rnnrs.GRU(2, 3).to_onnx("m.onnx")
except rnnrs.UnsupportedError as error:
    print(error)
"""
    assert 'pip install "rnnrs[onnx]"' in run_script(script, folder=tmp_path)


def test_without_onnxruntime_the_report_says_so(tmp_path, run_script):
    script = """
import sys
sys.modules["onnxruntime"] = None
import rnnrs
model = rnnrs.Recurrent(rnnrs.cells.MGU(2, 3), seed=0)
print(model.to_onnx("m.onnx", target="web"))
print(rnnrs.GRU(2, 3, seed=0).to_onnx("m.onnx", lengths=True))
import rnnrs_onnx
for make in (lambda: rnnrs_onnx.Session("m.onnx"), lambda: model.to_onnx("m.onnx", dtype="int8")):
    try:
        make()
    except rnnrs.UnsupportedError as error:
        print(error)
"""
    printed = run_script(script, folder=tmp_path)
    assert "3 cases under onnx" in printed
    assert "not compared: GRU with lengths, which this evaluator ignores" in printed
    assert "Session: expected onnxruntime or onnxruntime-gpu to be installed" in printed
    assert "dtype='int8': expected onnxruntime" in printed


# The command line


def command(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "rnnrs", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_line(chain, tmp_path):
    chain.save(tmp_path / "m.safetensors")
    done = command("export", "m.safetensors", "m.onnx", "--target", "cuda", "--mode", "step", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ONNX, mode step, target cuda, float32" in done.stdout
    assert "differs from the engine by" in done.stdout
    assert (tmp_path / "m.onnx").is_file()
    quiet = command("export", "m.safetensors", "q.onnx", "--quiet", "--no-verify", folder=tmp_path)
    assert quiet.stdout.strip() == "ONNX: q.onnx"
    wrong = command("export", "none.safetensors", "q.onnx", folder=tmp_path)
    assert wrong.returncode == 1
    assert "rnnrs: error:" in wrong.stderr
