"""Session: the state is carried as a stream carries it; what it is asked wrongly it refuses."""

import numpy as np
import pytest

import rnnrs
import rnnrs_onnx
from cases import flat


@pytest.fixture
def chain():
    layers = rnnrs.Embedding(9, 4), rnnrs.LSTM(4, 5), rnnrs.Recurrent(rnnrs.cells.MGU(5, 5)), rnnrs.Linear(5, 9)
    return rnnrs.Sequential(*layers, seed=1)


def session(model, folder, **options):
    model.to_onnx(folder / "m.onnx", **options)
    return rnnrs_onnx.Session(folder / "m.onnx")


def near(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_steps_are_those_of_a_stream(chain, tmp_path):
    made, stream = session(chain, tmp_path, mode="step"), chain.stream(2)
    for x in ([1, 2], [3, 4], [5, 6]):
        near(made(x), stream.step(np.array(x)))
    for got, expected in zip(made.state.values(), flat(stream.state), strict=True):
        near(got, expected)
    kept = made.state
    after = made([7, 8])
    made.state = kept
    near(made([7, 8]), after)
    made.reset()
    assert made.state == {}
    near(made([1, 2]), chain.stream(2).step(np.array([1, 2])))


def test_a_sequence_in_pieces(chain, tmp_path):
    made = session(chain, tmp_path)
    x = np.arange(12).reshape(2, 6) % 9
    pieces = np.concatenate([made(x[:, :2]), made(x[:, 2:3]), made(x[:, 3:])], axis=1)
    near(pieces, chain(x))


def test_lengths(chain, tmp_path):
    made = session(chain, tmp_path, lengths=True)
    x, lengths = np.arange(18).reshape(3, 6) % 9, np.array([6, 0, 3])
    near(made(x, lengths), chain(x, lengths))


def test_generation(chain, tmp_path):
    made = session(chain, tmp_path, mode="loop", sample="argmax")
    near(made.generate([3, 4], 6), chain.generate(np.array([[3], [4]]), 6, temperature=0))
    # The state goes on: six and four are ten.
    near(made.generate(chain.generate(np.array([[3], [4]]), 6, temperature=0)[:, -1], 4).shape, (2, 4))
    made.reset()
    whole = made.generate([3, 4], 10)
    made.reset()
    first = made.generate([3, 4], 6)
    assert np.array_equal(np.concatenate([first, made.generate(first[:, -1], 4)], axis=1), whole)


def test_drawn_generation_follows_the_seed(chain, tmp_path):
    made = session(chain, tmp_path, mode="loop")
    first = made.generate([3, 4], 40, 1.5, seed=1)
    made.reset()
    assert np.array_equal(made.generate([3, 4], 40, 1.5, seed=1), first)
    made.reset()
    assert not np.array_equal(made.generate([3, 4], 40, 1.5, seed=2), first)
    assert set(np.unique(first)) <= set(range(9))


def test_numbers_fed_back(tmp_path):
    model = rnnrs.Sequential(rnnrs.GRU(2, 4), rnnrs.Linear(4, 2), seed=0)
    made = session(model, tmp_path, mode="loop")
    start = np.array([[0.1, 0.2]], np.float32)
    near(made.generate(start, 5), model.generate(start[:, None], 5))
    with pytest.raises(rnnrs.InvalidValueError, match="expected to be left out of a model that draws nothing"):
        made.generate(start, 5, temperature=0.5)


def test_which_provider_ran_what(chain, tmp_path):
    made = session(chain, tmp_path)
    ran = made.placement(np.array([[1, 2, 3]]))
    assert list(ran) == ["CPUExecutionProvider"]
    assert ran["CPUExecutionProvider"]["LSTM"] == 1
    assert made.state == {}
    assert made.fallbacks(np.array([[1, 2, 3]])) == {}


def test_inputs_by_name(chain, tmp_path):
    made = session(chain, tmp_path, lengths=True)
    assert made.inputs["x"] == ("int64", ("batch", "time"))
    assert made.inputs["lengths"] == ("int64", ("batch",))
    assert made.mode == "sequence"
    assert "mode 'sequence'" in repr(made)


def test_noise_by_name(tmp_path):
    model = rnnrs.Sequential(rnnrs.GRU(2, 4), rnnrs.Dropout(0.5), seed=0)
    made = session(model, tmp_path, noise=True)
    x = np.ones((1, 3, 2), np.float32)
    kept = made(x, noise={"noise.1.dropout": np.zeros((3, 1, 4))})
    made.reset()
    dropped = made(x, noise={"noise.1.dropout": np.full((3, 1, 4), 0.9)})
    near(kept, 2 * model(x))
    assert not dropped.any()
    with pytest.raises(rnnrs.InvalidValueError, match=r"inputs: expected noise\.1\.dropout, got none"):
        made(x)


def test_what_is_asked_wrongly(chain, tmp_path):
    made = session(chain, tmp_path, mode="step")
    with pytest.raises(rnnrs.ShapeError, match=r"x: expected shape \(batch\), got \(1, 2\)"):
        made([[1, 2]])
    with pytest.raises(rnnrs.DtypeError, match="x: expected integers, got float64"):
        made([0.5])
    with pytest.raises(rnnrs.UnsupportedError, match="exported with mode='loop', got mode 'step'"):
        made.generate([1], 3)
    with pytest.raises(rnnrs.InvalidValueError, match="inputs: expected x, got lengths besides"):
        made([1], np.array([1]))
    with pytest.raises(rnnrs.InvalidValueError, match="state: expected"):
        made.state = {"h": np.zeros((1, 2, 5))}
    made([1, 2])
    with pytest.raises(rnnrs.ShapeError, match="for 3 rows, got"):
        made([1, 2, 3])
    with pytest.raises(rnnrs.InvalidValueError, match="device: expected 'cpu' or 'cuda', got 'tpu'"):
        rnnrs_onnx.Session(tmp_path / "m.onnx", device="tpu")
    with pytest.raises(FileNotFoundError, match="expected an ONNX file"):
        rnnrs_onnx.Session(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    with pytest.raises(rnnrs.FileError, match=r"broken\.onnx: expected a model that onnxruntime can run"):
        rnnrs_onnx.Session(tmp_path / "broken.onnx")
    loop = session(chain, tmp_path, mode="loop")
    for steps, temperature in ((0, 1.0), (3, 0.0)):
        with pytest.raises(rnnrs.InvalidValueError, match="expected"):
            loop.generate([1], steps, temperature)
    with pytest.raises(rnnrs.UnsupportedError, match="expected generate"):
        loop([1])


def test_a_token_beyond_the_vocabulary(chain, tmp_path):
    with pytest.raises(rnnrs.Error, match="onnxruntime failed"):
        session(chain, tmp_path)([[1, 99]])


def test_zero_states_are_not_carried(chain, tmp_path):
    made = session(chain, tmp_path, zero_state=True)
    x = np.array([[1, 2, 3]])
    near(made(x), made(x))
    assert made.state == {}
    with pytest.raises(rnnrs.UnsupportedError, match="exported with zero_state"):
        made.state = {"1.h": 0, "1.c": 0, "2.h": 0}


def test_cuda_is_never_silently_the_cpu(chain, tmp_path):
    import onnxruntime

    chain.to_onnx(tmp_path / "m.onnx", target="cuda")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        rnnrs_onnx.Session(tmp_path / "m.onnx", device="cuda")
        return
    with pytest.raises(rnnrs.UnsupportedError, match="expected an onnxruntime with CUDA"):
        rnnrs_onnx.Session(tmp_path / "m.onnx", device="cuda")
