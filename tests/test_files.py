"""Files and copies: atomic saving, pickle, copy, what is kept beside the parameters, and what loading refuses."""

import copy
import hashlib
import json
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

import rnnrs
from cases import assert_same_bits

MODELS = {
    "RNN": lambda **k: rnnrs.RNN(2, 3, seed=0, **k),
    "LSTM": lambda **k: rnnrs.LSTM(
        2, 3, num_layers=2, bidirectional=True, batch_first=True, peephole=True, seed=0, **k
    ),
    "GRU": lambda **k: rnnrs.GRU(2, 3, reset_after=False, zoneout=0.1, dropout=0.2, num_layers=2, seed=0, **k),
    "Recurrent": lambda **k: rnnrs.Recurrent(rnnrs.cells.LSTM(2, 3, layer_norm=True), seed=0, **k),
    "Sequential": lambda **k: rnnrs.Sequential(
        rnnrs.Linear(2, 4), rnnrs.LayerNorm(4), rnnrs.LSTM(4, 3), rnnrs.Dropout(0.2), rnnrs.Linear(3, 2), seed=0, **k
    ),
    "Embedding": lambda **k: rnnrs.Embedding(5, 2, seed=0, **k),
    "Linear": lambda **k: rnnrs.Linear(2, 2, bias=False, seed=0, **k),
    "LayerNorm": lambda **k: rnnrs.LayerNorm(2, eps=1e-3, **k),
    "BatchNorm": lambda **k: rnnrs.BatchNorm(2, eps=1e-3, momentum=0.2, **k),
    "Skips": lambda **k: rnnrs.RNN(2, 3, num_layers=3, dense=True, batch_norm=True, seed=0, **k),
    "RNNCell": lambda **k: rnnrs.RNNCell(2, 3, seed=0, **k),
    "LSTMCell": lambda **k: rnnrs.LSTMCell(2, 3, seed=0, **k),
    "GRUCell": lambda **k: rnnrs.GRUCell(2, 3, seed=0, **k),
}
every_model = pytest.mark.parametrize("name", MODELS)


def outputs(model):
    """What the model makes of some input."""
    rng = np.random.default_rng(0)
    if isinstance(model, rnnrs.Embedding):
        return model(rng.integers(0, 5, (3, 4)))
    if type(model).__name__.endswith("Cell"):
        state = model(rng.normal(size=(4, 2)))
        return state[0] if isinstance(state, tuple) else state
    y = model(rng.normal(size=(3, 4, 2)))
    return y[0] if isinstance(y, tuple) else y


def saved_and_loaded(model, path):
    model.save(path / "model.safetensors")
    return rnnrs.load(path / "model.safetensors")


WAYS = {
    "save": saved_and_loaded,
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "copy": lambda model, path: copy.copy(model),
    "deepcopy": lambda model, path: copy.deepcopy(model),
}


@every_model
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_copy_is_the_same_and_apart(name, way, dtype, tmp_path):
    model = MODELS[name](dtype=dtype)
    model.metadata["note"] = "übung"
    expected = outputs(model)
    again = way(model, tmp_path)
    assert type(again) is type(model)
    assert again.metadata == model.metadata
    assert_same_bits(outputs(again), expected, "outputs")
    again.load_state_dict({key: value + 1 for key, value in again.state_dict().items()})
    again.metadata["note"] = "other"
    assert_same_bits(outputs(model), expected, "outputs of the first")
    assert model.metadata["note"] == "übung"


@every_model
def test_options_survive(name, tmp_path):
    """What is trained further is the same model: draws, layout, and all options of the cell."""
    model = MODELS[name]()
    again = saved_and_loaded(model, tmp_path)
    assert json.loads(again._native.spec) == json.loads(model._native.spec)
    assert getattr(again, "batch_first", None) == getattr(model, "batch_first", None)
    if name in ("RNN", "LSTM", "GRU", "Recurrent", "Sequential"):
        x = np.random.default_rng(0).normal(size=(3, 4, 2))
        assert_same_bits(again.record(x, seed=4).y, model.record(x, seed=4).y, "y in training")


def test_frozen_parameters_stay_frozen(tmp_path):
    model = MODELS["Sequential"]()
    model.freeze("2.")
    for again in (saved_and_loaded(model, tmp_path), pickle.loads(pickle.dumps(model))):
        frozen = {name for name, _, frozen in again._native.parameters() if frozen}
        assert frozen == {name for name in again.state_dict() if name.startswith("2.")}


def test_a_load_is_by_path_of_every_kind(tmp_path):
    model = MODELS["GRU"]()
    path = tmp_path / "ein modell ü.safetensors"
    model.save(str(path))
    for kind in (path, str(path)):
        assert_same_bits(outputs(rnnrs.load(kind)), outputs(model), "outputs")


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for k in range(2):
        MODELS["Sequential"]().save(tmp_path / str(k))
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


def test_saving_leaves_no_other_file(tmp_path):
    MODELS["LSTM"]().save(tmp_path / "model")
    MODELS["LSTM"]().save(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_save_leaves_a_whole_file(tmp_path):
    """Killed at any moment: what is at the path is the old model or the new, and loads."""
    path = tmp_path / "model"
    code = (
        "import sys, rnnrs\n"
        "one, other = (rnnrs.LSTM(64, 256, seed=s) for s in (1, 2))\n"
        "one.save(sys.argv[1]); print('ready', flush=True)\n"
        "while True:\n"
        "    other.save(sys.argv[1]); one.save(sys.argv[1])\n"
    )
    expected = [rnnrs.LSTM(64, 256, seed=s).state_dict()["weight_hh_l0"] for s in (1, 2)]
    rng = np.random.default_rng(0)
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        try:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0.01, 0.1))
        finally:
            child.kill()
            child.communicate()
        found = rnnrs.load(path).state_dict()["weight_hh_l0"]
        assert any((found == e).all() for e in expected)


def test_a_save_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "model"
    model = MODELS["LSTM"]()
    model.save(path)
    before = path.read_bytes()
    with pytest.raises(OSError):
        model.save(tmp_path / "none" / "model")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        model.save(tmp_path / "folder")
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "model"]


# Files forged with a right checksum: what is wrong is in them, and must be found by looking.


def parts(data):
    """Header and tensors of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def digest(data):
    """The SHA-256 of every byte but its own 64 digits, and where those are."""
    at = data.index(b'"rnnrs.sha256":"') + len(b'"rnnrs.sha256":"')
    return hashlib.sha256(data[:at] + data[at + 64 :]).hexdigest(), at


def forged(header, body):
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    data = len(text).to_bytes(8, "little") + text + body
    value, at = digest(data)
    return data[:at] + value.encode() + data[at + 64 :]


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "model"
    MODELS["GRU"]().save(path)
    return path


def test_the_checksum_is_what_it_is_said_to_be(original):
    data = original.read_bytes()
    value, at = digest(data)
    assert data[at : at + 64].decode() == value
    # So a forger's file loads: the tests below are refused for what is in them.
    original.write_bytes(forged(*parts(data)))
    assert_same_bits(outputs(rnnrs.load(original)), outputs(MODELS["GRU"]()), "outputs")


def graph_key(header):
    """The key under which the metadata hold the model's JSON."""
    (key,) = (k for k, v in header["__metadata__"].items() if "num_layers" in v)
    return key


def edit_spec(change):
    def edit(header, body):
        meta = header["__metadata__"]
        key = graph_key(header)
        meta[key] = change(meta[key])
        return header, body

    return edit


def replaced(old, new):
    def change(text):
        assert old in text, f"{old} not in {text}"
        return text.replace(old, new)

    return edit_spec(change)


def edit_graph(change):
    """A change to the first cell's graph, in place."""

    def edit(header, body):
        graphs = json.loads(header["__metadata__"]["model.graphs"])
        change(graphs[0])
        header["__metadata__"]["model.graphs"] = json.dumps(graphs)
        return header, body

    return edit


def applied(graph):
    """A node in the middle of the graph that applies a primitive."""
    return [node for node in graph["nodes"] if node["node"] == "apply"][10]


def tensor_named(header):
    return next(name for name in header if name != "__metadata__")


def edit_version(header, body):
    header["__metadata__"]["rnnrs.format"] = "2"
    return header, body


def edit_drop_version(header, body):
    del header["__metadata__"]["rnnrs.format"]
    return header, body


def edit_drop_spec(header, body):
    del header["__metadata__"][graph_key(header)]
    return header, body


def edit_name(header, body):
    name = tensor_named(header)
    header["other"] = header.pop(name)
    return header, body


def edit_shape(header, body):
    entry = header[tensor_named(header)]
    entry["shape"] = entry["shape"][::-1] if len(set(entry["shape"])) > 1 else [*entry["shape"], 1]
    return header, body


def edit_type(header, body):
    for name, entry in header.items():
        if name != "__metadata__":
            entry["dtype"] = "I32"
    return header, body


def edit_overlap(header, body):
    names = [name for name in header if name != "__metadata__" and len(header[name]["shape"]) == 1]
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    return header, body


def edit_beyond(header, body):
    header[tensor_named(header)]["data_offsets"][1] = 2**63
    return header, body


def edit_overflow(header, body):
    header[tensor_named(header)]["shape"] = [2**62, 2**62]
    return header, body


def edit_cut_body(header, body):
    return header, body[:-4]


def edit_long_body(header, body):
    return header, body + b"\0" * 4


def edit_nan(header, body):
    return header, np.array([np.nan], "<f4").tobytes() + body[4:]


def edit_infinity(header, body):
    return header, body[:-4] + np.array([np.inf], "<f4").tobytes()


def edit_notes(header, body):
    header["__metadata__"]["python"] = "[1, 2]"
    return header, body


FORGERIES = {
    "a later version": edit_version,
    "no version": edit_drop_version,
    "no graph": edit_drop_spec,
    "no JSON": edit_spec(lambda text: text[:-1]),
    "an unknown cell": replaced('"gru"', '"grue"'),
    "an unknown layer": replaced('"recurrent"', '"recurring"'),
    "an unknown option": replaced('"reset_after"', '"reset_later"'),
    "another width": replaced('"hidden_size":3', '"hidden_size":4'),
    "a width that overflows": replaced('"hidden_size":3', '"hidden_size":9223372036854775807'),
    "a width below zero": replaced('"hidden_size":3', '"hidden_size":-3'),
    "too many layers": replaced('"num_layers":2', '"num_layers":2000000000'),
    "fewer layers": replaced('"num_layers":2', '"num_layers":1'),
    "deep JSON": edit_spec(lambda text: "[" * 200000 + "]" * 200000),
    "a later version of graphs": edit_graph(lambda g: g.update(format=2)),
    "no nodes": edit_graph(lambda g: g.update(nodes=[])),
    "too many nodes": edit_graph(lambda g: g.update(nodes=g["nodes"] + [g["nodes"][-1]] * 300000)),
    "an unknown primitive": edit_graph(lambda g: applied(g).update(primitive="sigmoidal")),
    "a later primitive": edit_graph(lambda g: applied(g).update(version=9)),
    "a cycle": edit_graph(lambda g: applied(g).update(args=[g["nodes"].index(applied(g))])),
    "a node that sees a later one": edit_graph(lambda g: applied(g).update(args=[len(g["nodes"]) - 1])),
    "a node that is not there": edit_graph(lambda g: applied(g).update(args=[10**6])),
    "a node below zero": edit_graph(lambda g: applied(g).update(args=[-1])),
    "no arguments": edit_graph(lambda g: applied(g).update(args=[])),
    "too many arguments": edit_graph(lambda g: applied(g).update(args=[0] * 50)),
    "unknown attributes": edit_graph(lambda g: applied(g)["attributes"].update(colour=1)),
    "a state without a next": edit_graph(lambda g: g.update(states=[])),
    "a state that is not there": edit_graph(lambda g: g["states"][0].update(next=10**6)),
    "an output that is not there": edit_graph(lambda g: g.update(outputs=[10**6])),
    "no output": edit_graph(lambda g: g.update(outputs=[])),
    "parameters of another shape": edit_graph(lambda g: g["nodes"][2].update(shape=[9, 4])),
    "parameters without a shape": edit_graph(lambda g: g["nodes"][2].pop("shape")),
    "parameters that overflow": edit_graph(lambda g: g["nodes"][2].update(shape=[2**62, 2**62])),
    "a parameter named twice": edit_graph(lambda g: g["nodes"][2].update(name="weight_ih")),
    "another name": edit_name,
    "another shape": edit_shape,
    "another type": edit_type,
    "overlapping tensors": edit_overlap,
    "an offset beyond the end": edit_beyond,
    "a shape that overflows": edit_overflow,
    "a missing tail": edit_cut_body,
    "a tail too many": edit_long_body,
    "NaN": edit_nan,
    "infinity": edit_infinity,
    "notes of another form": edit_notes,
}


@pytest.mark.parametrize("edit", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_file_is_refused(edit, original):
    header, body = parts(original.read_bytes())
    original.write_bytes(forged(*edit(header, body)))
    with pytest.raises(rnnrs.FileError) as caught:
        rnnrs.load(original)
    assert "expected" in str(caught.value)


def test_numbers_that_are_not_finite_load_when_asked_for(original):
    header, body = parts(original.read_bytes())
    original.write_bytes(forged(*edit_nan(header, body)))
    with pytest.raises(rnnrs.FileError, match="finite"):
        rnnrs.load(original)
    loaded = rnnrs.load(original, allow_nonfinite=True)
    assert sum(np.isnan(value).sum() for value in loaded.state_dict().values()) == 1


def test_loading_runs_no_code(original):
    """There is nothing in the file but JSON and numbers."""
    header, _ = parts(original.read_bytes())
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F32"}
    json.loads(header["__metadata__"][graph_key(header)])


def test_safetensors_reads_the_file_where_it_is_installed(original):
    safetensors = pytest.importorskip("safetensors.numpy")
    found = safetensors.load_file(original)
    for name, value in MODELS["GRU"]().state_dict().items():
        assert_same_bits(found[name], value, name)


def test_pickles_go_between_processes(tmp_path, run_script):
    path = tmp_path / "model.pickle"
    model = MODELS["LSTM"]()
    path.write_bytes(pickle.dumps(model))
    code = (
        "import pickle, sys, hashlib\n"
        "from test_files import outputs\n"
        "print(hashlib.sha256(outputs(pickle.load(open(sys.argv[1], 'rb'))).tobytes()).hexdigest())\n"
    )
    printed = run_script(code, os.fspath(path)).strip()
    assert printed == hashlib.sha256(outputs(model).tobytes()).hexdigest()


def test_optimizers_are_copied_with_their_state():
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    y = np.zeros((3, 4, 2))
    for way in (lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy):
        one, other = MODELS["Sequential"](), MODELS["Sequential"]()
        first = rnnrs.optim.Adam(1e-2)
        first.step(one, one.value_and_grad(x, y, loss="mse", seed=1)[1])
        other.load_state_dict(one.state_dict())
        second = way(first)
        for model, optimizer in ((one, first), (other, second)):
            optimizer.step(model, model.value_and_grad(x, y, loss="mse", seed=2)[1])
        for name, value in one.state_dict().items():
            assert_same_bits(other.state_dict()[name], value, name)


def test_a_layer_taken_from_a_chain_is_that_layer():
    chain = MODELS["Sequential"]()
    layer = chain[2]
    assert type(layer) is rnnrs.LSTM
    for name, value in layer.state_dict().items():
        assert_same_bits(value, chain.state_dict()[f"2.{name}"], name)
    again = rnnrs.Sequential(*chain)
    for name, value in chain.state_dict().items():
        assert_same_bits(again.state_dict()[name], value, name)
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    assert_same_bits(again(x), chain(x), "y")
