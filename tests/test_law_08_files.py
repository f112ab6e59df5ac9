"""Law 8: save and load give the same bits; a file cut or changed anywhere gives FileError, never a wrong model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnrs
from cases import EVERY, CellCase, assert_same_bits, assert_same_tape, cases, flat
from configurations import CELLS


@pytest.mark.parametrize("configuration", EVERY, ids=lambda c: c.name)
@given(data=st.data())
def test_saved_and_loaded_gives_the_same_bits(configuration, data, tmp_path_factory):
    case = data.draw(cases(configuration))
    model = case.build()
    path = tmp_path_factory.mktemp("law8") / "model.safetensors"
    model.save(path)
    again = rnnrs.load(path)
    assert type(again) is type(model)
    assert again.dtype == model.dtype
    values, loaded = model.state_dict(), again.state_dict()
    assert list(values) == list(loaded)
    for name in values:
        assert_same_bits(loaded[name], values[name], name)
    how = {"training": True, "seed": 11}
    one, other = (each.record(case.x, **case.given, **how) for each in (model, again))
    assert_same_tape(one, other)
    first = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("configuration", [c for c in EVERY if getattr(c, "causal", True)], ids=lambda c: c.name)
@given(data=st.data())
def test_a_loaded_model_streams_the_same_bits(configuration, data, tmp_path_factory):
    case = data.draw(cases(configuration, bidirectional=False, unbatched=False, lengths=None, initial=False))
    model = case.build()
    path = tmp_path_factory.mktemp("law8") / "model.safetensors"
    model.save(path)
    if not getattr(configuration, "steps", True):
        return
    one, other = model.stream(case.batch), rnnrs.load(path).stream(case.batch)
    for t in range(case.steps):
        x_t = np.take(case.x, t, case.time_axis)
        assert_same_bits(one.step(x_t), other.step(x_t), f"y of step {t}")
    for a, b in zip(flat(one.state), flat(other.state), strict=True):
        assert_same_bits(a, b, "state")


def small(k):
    """A small model of each kind, as the bytes of its file."""
    configuration = CELLS[k]
    sizes = {"input_size": configuration.input_size(1), "hidden_size": configuration.hidden_size(1)}
    return CellCase(configuration=configuration, **sizes, dtype="float32").build()


@pytest.fixture
def saved(tmp_path, request):
    model = small(getattr(request, "param", 0))
    path = tmp_path / "model.safetensors"
    model.save(path)
    rnnrs._core.Model.from_bytes(path.read_bytes())  # what load reads a file with
    return path, path.read_bytes()


def refused(path, data, on_disk=True):
    """Neither the bytes nor, where it is worth the time, a file of them are taken for a model."""
    with pytest.raises(rnnrs.FileError):
        rnnrs._core.Model.from_bytes(data)
    if on_disk:
        path.write_bytes(data)
        with pytest.raises(rnnrs.FileError):
            rnnrs.load(path)


some = pytest.mark.parametrize("saved", [0, len(CELLS) // 2, len(CELLS) - 1], indirect=True)


@some
def test_every_changed_byte_is_noticed(saved, at_length):
    path, data = saved
    rng = np.random.default_rng(0)
    for k in range(len(data)):
        # 0x20 turns a letter's case and a space into nothing: the gentlest change that JSON and hexadecimals know.
        for change in range(1, 256) if at_length else (0x20, int(rng.integers(1, 256))):
            refused(path, data[:k] + bytes([data[k] ^ change]) + data[k + 1 :], on_disk=k % 50 == 0 and change == 0x20)


@some
def test_every_cut_is_noticed(saved):
    path, data = saved
    for length in range(len(data)):
        refused(path, data[:length], on_disk=length % 50 == 0)


@some
def test_additions_are_noticed(saved):
    path, data = saved
    for more in (b"\0", b" ", b"\0" * 8, data):
        refused(path, data + more)
        refused(path, more + data)


@some
def test_exchanged_bytes_are_noticed(saved):
    path, data = saved
    rng = np.random.default_rng(1)
    for _ in range(200):
        a, b = sorted(rng.choice(len(data), 2, replace=False))
        if data[a] != data[b]:
            swapped = bytearray(data)
            swapped[a], swapped[b] = swapped[b], swapped[a]
            refused(path, bytes(swapped), on_disk=False)


@given(data=st.binary(max_size=400))
def test_what_is_no_model_file_is_refused(data, tmp_path_factory):
    refused(tmp_path_factory.mktemp("law8") / "model.safetensors", data)


@given(length=st.integers(0, 2**64 - 1), rest=st.binary(max_size=100))
def test_a_header_of_any_claimed_length_is_refused(length, rest, tmp_path_factory):
    refused(tmp_path_factory.mktemp("law8") / "model.safetensors", length.to_bytes(8, "little") + rest)


def test_pickled_bytes_are_checked_as_files_are():
    import pickle

    data = pickle.dumps(small(0))
    model_bytes = small(0)._native.to_bytes()
    at = data.index(model_bytes[:16])
    for k in range(at, at + len(model_bytes), 7):
        with pytest.raises(rnnrs.FileError):
            pickle.loads(data[:k] + bytes([data[k] ^ 1]) + data[k + 1 :])


def test_an_optimizer_state_is_checked_too():
    model, optimizer = small(0), rnnrs.optim.Adam(1e-3)
    _, gradients = model.value_and_grad(np.zeros((3, 1, 1)), np.zeros((3, 1, 1)), loss="mse")
    optimizer.step(model, gradients)
    state = optimizer.state_dict()
    data = state["state"]
    for k in range(0, len(data), 5):
        changed = state | {"state": data[:k] + bytes([data[k] ^ 4]) + data[k + 1 :]}
        with pytest.raises(rnnrs.FileError):
            rnnrs.optim.Adam(1e-3).load_state_dict(changed)
    for length in range(0, len(data), 11):
        with pytest.raises(rnnrs.FileError):
            rnnrs.optim.Adam(1e-3).load_state_dict(state | {"state": data[:length]})
