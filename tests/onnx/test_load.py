"""rnnrs_onnx.load: files of torch and nodes by hand give models with equal results, or an error that names the node.

The files and what is expected of them are made by fixtures/make.py.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import rnnrs
import rnnrs_onnx

FIXTURES = Path(__file__).parent / "fixtures"
TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-10}}
F, H = 3, 4

# What each file is read as: the class, whether steps come first in it, and layers or what tells the stack.
STACKS = {
    "rnn_tanh": (rnnrs.RNN, 1, False, False),
    "rnn_relu_2": (rnnrs.RNN, 2, False, False),
    "rnn_bi_batch_first": (rnnrs.RNN, 1, True, True),
    "gru": (rnnrs.GRU, 1, False, False),
    "gru_2_bi": (rnnrs.GRU, 2, True, False),
    "gru_batch_first": (rnnrs.GRU, 1, False, True),
    "gru_one_sequence": (rnnrs.GRU, 1, False, False),
    "lstm": (rnnrs.LSTM, 1, False, False),
    "lstm_2": (rnnrs.LSTM, 2, False, False),
    "lstm_2_bi_batch_first": (rnnrs.LSTM, 2, True, True),
    "lstm_fixed": (rnnrs.LSTM, 1, True, False),
    "lstm_states": (rnnrs.LSTM, 2, True, False),
    "lstm_float64": (rnnrs.LSTM, 2, True, False),
    "packed": (rnnrs.GRU, 2, True, True),
    "packed_any_order": (rnnrs.GRU, 2, True, True),
    "node_gru_reset_before": (rnnrs.GRU, 1, True, False),
    "node_rnn_sigmoid": (rnnrs.RNN, 1, False, False),
    "node_lstm_peephole": (rnnrs.LSTM, 1, True, False),
    "node_lstm_coupled": (rnnrs.LSTM, 1, False, False),
    "node_lstm_peephole_coupled": (rnnrs.LSTM, 1, True, False),
}
CHAINS = {
    "tagger": [rnnrs.Embedding, rnnrs.LSTM, rnnrs.Linear],
    "classifier": [rnnrs.Embedding, rnnrs.LSTM, rnnrs.Last, rnnrs.Linear],
    "state_classifier": [rnnrs.Embedding, rnnrs.LSTM, rnnrs.Last, rnnrs.Linear],
    "mixed": [rnnrs.Linear, rnnrs.LSTM, rnnrs.LayerNorm, rnnrs.GRU, rnnrs.Linear],
}
STEPS_FIRST = {"mixed"}
REFUSED = {
    "rnn_tanh_second": "node 'node_add' (Add)",
    "softmax": "node '/Softmax' (Softmax)",
    "both_directions": "node '/linear/Gemm' (Gemm)",
}


def files(names):
    """The files of these names, by the first exporter and, where there is one, by the second."""
    found = [path for path in sorted(FIXTURES.glob("*.onnx")) if plain(path) in names and path.stem not in REFUSED]
    return pytest.mark.parametrize("path", found, ids=lambda path: path.stem)


def plain(path):
    return path.stem.removesuffix("_second")


def stored(path):
    with np.load(FIXTURES / f"{plain(path)}.npz") as arrays:
        inputs = {name: arrays[name] for name in arrays if not name.startswith("output_")}
        return inputs, [arrays[name] for name in arrays if name.startswith("output_")]


def compare(got, expected, dtype):
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, theirs, **TOLERANCE[dtype])


def run_stack(model, inputs):
    """What the file's outputs are, of a model that is one stack: y, h and, of an LSTM, c."""
    x = inputs.get("x", inputs.get("X"))
    state = (inputs["h"], inputs["c"]) if "c" in inputs else inputs.get("h")
    y, last = model(x, state, inputs.get("lengths"))
    return [y, *(last if isinstance(last, tuple) else [last])]


def test_every_file_is_listed():
    names = {plain(path) for path in FIXTURES.glob("*.onnx") if path.stem not in REFUSED}
    assert names == STACKS.keys() | CHAINS.keys()
    assert {path.stem for path in FIXTURES.glob("*.npz")} == names
    assert all((FIXTURES / f"{name}.onnx").exists() for name in REFUSED)


@files(STACKS)
def test_stack(path):
    model = rnnrs_onnx.load(path)
    cls, layers, both, batch_first = STACKS[plain(path)]
    assert type(model) is cls
    assert (model.num_layers, model.bidirectional, model.batch_first) == (layers, both, batch_first)
    inputs, expected = stored(path)
    compare(run_stack(model, inputs), expected, model.dtype)


@files(CHAINS)
def test_chain(path):
    model = rnnrs_onnx.load(path)
    assert [type(layer) for layer in model] == CHAINS[plain(path)]
    inputs, expected = stored(path)
    compare([run_chain(path, model, inputs)], expected, "float32")


def run_chain(path, model, inputs):
    if plain(path) in STEPS_FIRST:
        return model(inputs["x"].swapaxes(0, 1)).swapaxes(0, 1)
    return model(inputs["x"])


@files(STACKS.keys() | CHAINS.keys())
def test_equal_to_onnxruntime(path):
    inputs, _ = stored(path)
    model = rnnrs_onnx.load(path)
    mine = run_stack(model, inputs) if plain(path) in STACKS else [run_chain(path, model, inputs)]
    if model.dtype == "float64":  # onnxruntime has no kernel for it.
        theirs = ReferenceEvaluator(onnx.load(path)).run(None, inputs)
    else:
        theirs = onnxruntime.InferenceSession(path).run(None, inputs)
    compare(mine, theirs, model.dtype)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_node_named(name):
    with pytest.raises(rnnrs.UnsupportedError) as caught:
        rnnrs_onnx.load(FIXTURES / f"{name}.onnx")
    assert f"{name}.onnx: {REFUSED[name]}: expected " in str(caught.value)


def test_dtype_may_be_chosen():
    path = FIXTURES / "lstm_2.onnx"
    inputs, expected = stored(path)
    wide = rnnrs_onnx.load(path, dtype="float64")
    assert wide.dtype == "float64"
    for mine, theirs in zip(run_stack(wide, inputs), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    assert rnnrs_onnx.load(FIXTURES / "lstm_float64.onnx", dtype="float32").dtype == "float32"
    with pytest.raises(rnnrs.Error, match="float16"):
        rnnrs_onnx.load(path, dtype="float16")


def test_what_is_loaded_trains_streams_and_is_saved(tmp_path):
    model = rnnrs_onnx.load(FIXTURES / "tagger.onnx")
    tokens = np.array([[1, 2, 3, 4]])
    y = model(tokens)
    stream = model.stream()
    np.testing.assert_array_equal([stream.step(token) for token in tokens[0]], y[0])
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(rnnrs.load(tmp_path / "model.safetensors")(tokens), y)
    before, _ = model.value_and_grad(tokens, tokens % 5)
    model.fit(tokens, tokens % 5, epochs=3, progress=False)
    after, _ = model.value_and_grad(tokens, tokens % 5)
    assert after < before


# Nodes by hand. A graph is given by its nodes; of W, R, B, P and other names the arrays that are constants.


def value(name, shape, element=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, element, shape)


def weights(operator, directions=1, width=F, dtype=np.float32):
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[operator]
    rng = np.random.default_rng(3)
    shapes = {"W": (gates * H, width), "R": (gates * H, H), "B": (2 * gates * H,), "P": (3 * H,)}
    return {name: rng.uniform(-1, 1, (directions, *shape)).astype(dtype) for name, shape in shapes.items()}


def write(path, nodes, constants, *, inputs=None, outputs=("y",), element=TensorProto.FLOAT, opset=20, rank=3):
    graph = helper.make_graph(
        nodes,
        "by hand",
        inputs or [value("x", ["T", "N", F], element)],
        [value(name, [None] * rank, element) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    return path


def cell(operator, inputs=("x", "W", "R", "B"), outputs=("Y",), **attributes):
    return helper.make_node(operator, list(inputs), list(outputs), "cell", **{"hidden_size": H} | attributes)


def squeezed(source="Y", target="y"):
    return helper.make_node("Squeeze", [source, "one"], [target])


ONE = {"one": np.array([1])}


def refused(path, match, kind=rnnrs.UnsupportedError):
    with pytest.raises(kind, match=match) as caught:
        rnnrs_onnx.load(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("operator", "attributes", "match"),
    [
        ("LSTM", {"clip": 3.0}, "clip"),
        ("RNN", {"activations": ["Affine"], "activation_alpha": [2.0]}, "activation_alpha"),
        ("RNN", {"activation_beta": [2.0]}, "activation_beta"),
        ("RNN", {"activations": ["Softsign"]}, "activations tanh or relu or sigmoid, .* got softsign"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "activations sigmoid, tanh, .* got hardsigmoid, tanh"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}, "got sigmoid, tanh, relu"),
        ("GRU", {"direction": "reverse"}, "direction 'forward' or 'bidirectional', got 'reverse'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_attributes_that_no_layer_has(tmp_path, operator, attributes, match):
    path = write(tmp_path / "m.onnx", [cell(operator, **attributes), squeezed()], weights(operator) | ONE)
    refused(path, rf"node 'cell' \({operator}\): expected .*{match}")


def test_activations_must_be_the_same_in_each_direction(tmp_path):
    node = cell("RNN", direction="bidirectional", activations=["Tanh", "Relu"])
    refused(write(tmp_path / "m.onnx", [node], weights("RNN", 2), outputs=["Y"], rank=4), "same in each direction")


def test_activations_do_not_distinguish_capitals(tmp_path):
    node = cell("GRU", activations=["sigmoid", "TANH"])
    assert isinstance(rnnrs_onnx.load(write(tmp_path / "m.onnx", [node, squeezed()], weights("GRU") | ONE)), rnnrs.GRU)


@pytest.mark.parametrize("operator", ["RNN", "GRU", "LSTM"])
def test_rows_before_steps(tmp_path, operator):
    # layout = 1, which onnxruntime does not run: the same weights in layout 0 give what is expected.
    constants = weights(operator) | {"one": np.array([1]), "two": np.array([2])}
    given = [value("x", ["N", "T", F])]
    rows = [cell(operator, layout=1), helper.make_node("Squeeze", ["Y", "two"], ["y"])]
    steps = [cell(operator), squeezed()]
    x = np.random.default_rng(0).standard_normal((2, 5, F))
    one = rnnrs_onnx.load(write(tmp_path / "rows.onnx", rows, constants, inputs=given))
    other = rnnrs_onnx.load(write(tmp_path / "steps.onnx", steps, constants))
    assert (one.batch_first, other.batch_first) == (True, False)
    np.testing.assert_array_equal(one(x)[0].swapaxes(0, 1), other(x.swapaxes(0, 1))[0])


@pytest.mark.parametrize(
    ("name", "given", "match"),
    [
        ("initial_h", np.ones((1, 2, H), np.float32), "initial states of zero or an input of the graph"),
        ("lengths", np.array([1, 2], np.int32), "an input of the graph as sequence_lens"),
    ],
)
def test_fixed_states_and_lengths(tmp_path, name, given, match):
    inputs = ["x", "W", "R", "B", "lengths" if name == "lengths" else "", "initial_h" if name == "initial_h" else ""]
    constants = weights("GRU") | ONE | {name: given}
    shape = [value("x", ["T", 2, F])]
    refused(
        write(tmp_path / "m.onnx", [cell("GRU", inputs), squeezed()], constants, inputs=shape),
        rf"node 'cell' \(GRU\): expected {match}",
    )


def test_zero_states_and_full_lengths_are_none(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["steps"]),
        helper.make_node("Slice", ["shape", "one", "two"], ["rows"]),
        helper.make_node("Expand", ["steps", "rows"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["lengths"], to=TensorProto.INT32),
        helper.make_node("Concat", ["one", "rows", "hidden"], ["state_shape"], axis=0),
        helper.make_node("ConstantOfShape", ["state_shape"], ["h"]),
        cell("GRU", ["x", "W", "R", "B", "lengths", "h"]),
        squeezed(),
    ]
    numbers = {"zero": np.array(0), "one": np.array([1]), "two": np.array([2]), "hidden": np.array([H])}
    path = write(tmp_path / "m.onnx", nodes, weights("GRU") | numbers)
    x = np.random.default_rng(0).standard_normal((5, 2, F)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": x})
    compare([rnnrs_onnx.load(path)(x)[0]], expected, "float32")


def two_cells(between=(), second=("between", "W2", "R", "B"), **attributes):
    """Two RNNs upon each other, with something between them."""
    nodes = [cell("RNN"), squeezed(target="first"), *between]
    nodes += [helper.make_node("RNN", list(second), ["Y2"], "upper", hidden_size=H, **attributes), squeezed("Y2")]
    return nodes, weights("RNN") | {"W2": weights("RNN", width=H)["W"]} | ONE


@pytest.mark.parametrize(
    ("between", "match"),
    [
        (helper.make_node("Softmax", ["first"], ["between"], "odd"), r"'odd' \(Softmax\): expected .* got Softmax"),
        (helper.make_node("Tanh", ["first"], ["between"], "odd"), r"'odd' \(Tanh\)"),
        (helper.make_node("Add", ["first", "first"], ["between"], "odd"), r"'odd' \(Add\)"),
        (helper.make_node("MatMul", ["first", "first"], ["between"], "odd"), r"'odd' \(MatMul\)"),
        (helper.make_node("Cast", ["first"], ["between"], "odd", to=TensorProto.DOUBLE), r"'odd' \(Cast\).*DOUBLE"),
        (helper.make_node("Transpose", ["first"], ["between"], perm=[1, 0, 2]), r"'upper' \(RNN\): .* another order"),
        (helper.make_node("Fast", ["first"], ["between"], "odd", domain="com.example"), r"'odd' \(Fast\)"),
        (helper.make_node("Concat", ["first", "first"], ["between"], "odd", axis=-1), r"'upper' \(RNN\): .* mixture"),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else None,
)
def test_between_two_layers(tmp_path, between, match):
    nodes, constants = two_cells([between])
    path = write(tmp_path / "m.onnx", nodes, constants)
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, path)
    refused(path, f"node {match}")


@pytest.mark.parametrize(
    "between",
    [
        helper.make_node("Identity", ["first"], ["between"]),
        helper.make_node("Dropout", ["first"], ["between"]),
        helper.make_node("Cast", ["first"], ["between"], to=TensorProto.FLOAT),
    ],
    ids=lambda node: node.op_type,
)
def test_what_changes_nothing_is_passed_over(tmp_path, between):
    nodes, constants = two_cells([between])
    path = write(tmp_path / "m.onnx", nodes, constants)
    model = rnnrs_onnx.load(path)
    assert (type(model), model.num_layers) == (rnnrs.RNN, 2)
    x = np.random.default_rng(0).standard_normal((5, 2, F)).astype(np.float32)
    compare([model(x)[0]], onnxruntime.InferenceSession(path).run(None, {"x": x}), "float32")


def test_dropout_that_draws(tmp_path):
    dropout = helper.make_node("Dropout", ["first", "half", "true"], ["between"], "odd")
    nodes, constants = two_cells([dropout])
    constants |= {"half": np.float32(0.5), "true": np.array(True)}
    refused(write(tmp_path / "m.onnx", nodes, constants), r"'odd' \(Dropout\): .* training_mode 1")


def test_cells_that_differ_are_no_stack(tmp_path):
    nodes, constants = two_cells(second=("first", "W2", "R", "B"), activations=["Relu"])
    path = write(tmp_path / "m.onnx", nodes, constants)
    model = rnnrs_onnx.load(path)
    assert [layer.cell for layer in model] == [
        rnnrs.cells.Elman(F, H),
        rnnrs.cells.Elman(H, H, nonlinearity="relu"),
    ]
    x = np.random.default_rng(0).standard_normal((5, 2, F)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": x})
    compare([model(x.swapaxes(0, 1)).swapaxes(0, 1)], expected, "float32")


def test_states_of_two_inputs_are_no_stack(tmp_path):
    nodes, constants = two_cells(second=("first", "W2", "R", "B", "", "h2"))
    nodes[0] = cell("RNN", ["x", "W", "R", "B", "", "h1"])
    states = [value(name, [1, "N", H]) for name in ("h1", "h2")]
    path = write(tmp_path / "m.onnx", nodes, constants, inputs=[value("x", ["T", "N", F]), *states])
    model, rng = rnnrs_onnx.load(path), np.random.default_rng(0)
    given = {"x": (5, 2, F), "h1": (1, 2, H), "h2": (1, 2, H)}
    given = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in given.items()}
    y = model(given["x"].swapaxes(0, 1), state=(given["h1"], given["h2"])).swapaxes(0, 1)
    compare([y], onnxruntime.InferenceSession(path).run(None, given), "float32")


def test_lengths_of_one_layer_alone(tmp_path):
    nodes, constants = two_cells(second=("first", "W2", "R", "B", "lengths"))
    inputs = [value("x", ["T", "N", F]), value("lengths", ["N"], TensorProto.INT32)]
    refused(
        write(tmp_path / "m.onnx", nodes, constants, inputs=inputs), r"node 'upper' \(RNN\): expected the sequence_len"
    )


def test_a_layer_reached_by_two_ways(tmp_path):
    nodes, constants = two_cells(second=("first", "W2", "R", "B"))
    refused(write(tmp_path / "m.onnx", nodes, constants, outputs=["y", "first"]), "output 'first'")


def test_axes_in_another_order_at_the_end(tmp_path):
    nodes = [cell("RNN"), squeezed(target="first"), helper.make_node("Transpose", ["first"], ["y"], perm=[1, 0, 2])]
    refused(write(tmp_path / "m.onnx", nodes, weights("RNN") | ONE), "output 'y': expected steps T and rows B")


@pytest.mark.parametrize("index", [-1, 4, 0])
def test_only_the_last_step_is_one(tmp_path, index):
    nodes = [cell("RNN"), squeezed(target="first"), helper.make_node("Gather", ["first", "index"], ["y"], axis=0)]
    constants = weights("RNN") | ONE | {"index": np.array(index)}
    path = write(tmp_path / "m.onnx", nodes, constants, rank=2)
    if index == -1:
        assert [type(layer) for layer in rnnrs_onnx.load(path)] == [rnnrs.RNN, rnnrs.Last]
    else:  # Step 4 is the last of five only.
        refused(path, "output 'y': expected y of every step or of the last one")


@pytest.mark.parametrize("operator", ["RNN", "GRU", "LSTM"])
def test_the_last_step_of_rows_with_lengths(tmp_path, operator):
    node = cell(operator, ["x", "W", "R", "B", "lengths"], ["Y", "Y_h"])
    nodes = [node, helper.make_node("Gather", ["Y_h", "zero"], ["h"], axis=0)]
    nodes += [helper.make_node("Gemm", ["h", "V", "b"], ["y"], alpha=0.5, beta=2.0)]
    inputs = [value("x", ["T", "N", F]), value("lengths", ["N"], TensorProto.INT32)]
    rng = np.random.default_rng(0)
    more = {"zero": np.array(0), "V": rng.standard_normal((H, 2)).astype(np.float32), "b": np.ones(2, np.float32)}
    path = write(tmp_path / "m.onnx", nodes, weights(operator) | more, inputs=inputs, rank=2)
    model = rnnrs_onnx.load(path)
    assert [type(layer) for layer in model] == [getattr(rnnrs, operator), rnnrs.Last, rnnrs.Linear]
    x, lengths = rng.standard_normal((6, 3, F)).astype(np.float32), np.array([6, 2, 4], np.int32)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": x, "lengths": lengths})
    compare([model(x.swapaxes(0, 1), lengths)], expected, "float32")


def test_the_last_of_all_steps_where_rows_have_lengths(tmp_path):
    nodes = [cell("RNN", ["x", "W", "R", "B", "lengths"]), squeezed(target="all")]
    nodes += [helper.make_node("Gather", ["all", "last"], ["y"], axis=0)]
    inputs = [value("x", ["T", "N", F]), value("lengths", ["N"], TensorProto.INT32)]
    path = write(tmp_path / "m.onnx", nodes, weights("RNN") | ONE | {"last": np.array(-1)}, inputs=inputs, rank=2)
    refused(path, "output 'y'")


@pytest.mark.parametrize("back", [True, False])
def test_rows_in_the_order_of_their_lengths(tmp_path, back):
    nodes = [
        helper.make_node("Shape", ["lengths"], ["count"]),
        helper.make_node("TopK", ["lengths", "count"], ["sorted", "order"]),
        helper.make_node("Gather", ["x", "order"], ["in_order"], axis=1),
        cell("GRU", ["in_order", "W", "R", "B", "sorted"]),
        squeezed(target="out_of_order"),
        helper.make_node("TopK", ["order", "count"], ["unused", "back"], largest=0),
        helper.make_node("Gather", ["out_of_order", "back" if back else "order"], ["y"], axis=1),
    ]
    inputs = [value("x", ["T", "N", F]), value("lengths", ["N"], TensorProto.INT32)]
    path = write(tmp_path / "m.onnx", nodes, weights("GRU") | ONE, inputs=inputs)
    if not back:
        refused(path, "output 'y'")
        return
    x = np.random.default_rng(0).standard_normal((6, 4, F)).astype(np.float32)
    lengths = np.array([2, 6, 3, 5], np.int32)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": x, "lengths": lengths})
    compare([rnnrs_onnx.load(path)(x, None, lengths)[0]], expected, "float32")


def test_some_of_the_rows(tmp_path):
    nodes = [helper.make_node("TopK", ["lengths", "one"], ["sorted", "order"], "odd")]
    nodes += [helper.make_node("Gather", ["x", "order"], ["longest"], axis=1)]
    nodes += [cell("GRU", ["longest", "W", "R", "B", "sorted"]), squeezed()]
    inputs = [value("x", ["T", "N", F]), value("lengths", ["N"], TensorProto.INT32)]
    refused(write(tmp_path / "m.onnx", nodes, weights("GRU") | ONE, inputs=inputs), r"node 'odd' \(TopK\)")


def test_final_states_alone(tmp_path):
    node = cell("LSTM", outputs=["", "h", "c"], direction="bidirectional")
    path = write(tmp_path / "m.onnx", [node], weights("LSTM", 2), outputs=["h", "c"])
    model = rnnrs_onnx.load(path)
    x = np.random.default_rng(0).standard_normal((5, 2, F)).astype(np.float32)
    compare(model(x)[1], onnxruntime.InferenceSession(path).run(None, {"x": x}), "float32")


def test_states_that_are_cut_from_the_middle(tmp_path):
    node = cell("RNN", ["x", "W", "R", "B", "", "half"])
    nodes = [helper.make_node("Slice", ["h", "zero", "one", "two"], ["half"]), node, squeezed()]
    numbers = {"zero": np.array([0]), "one": np.array([1]), "two": np.array([0])}
    inputs = [value("x", ["T", "N", F]), value("h", [2, "N", H])]
    path = write(tmp_path / "m.onnx", nodes, weights("RNN") | numbers, inputs=inputs)
    x, h = np.zeros((3, 2, F), np.float32), np.random.default_rng(0).standard_normal((2, 2, H)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": x, "h": h})
    compare([rnnrs_onnx.load(path)(x, h[:1])[0]], expected, "float32")
    nodes[0] = helper.make_node("Gather", ["h", "backwards"], ["half"], axis=1)
    swap = weights("RNN") | ONE | {"backwards": np.array([1, 0])}
    inputs = [value("x", ["T", 2, F]), value("h", [1, 2, H])]
    refused(write(tmp_path / "n.onnx", nodes, swap, inputs=inputs), "initial states as they lie in input 'h'")


def test_states_of_another_layer(tmp_path):
    nodes, constants = two_cells(second=("first", "W2", "R", "B", "", "Y_h"))
    nodes[0] = cell("RNN", outputs=["Y", "Y_h"])
    refused(write(tmp_path / "m.onnx", nodes, constants), r"node 'upper' \(RNN\): expected initial states")


@pytest.mark.parametrize("element", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_small_types_are_widened(tmp_path, element):
    dtype = helper.tensor_dtype_to_np_dtype(element)
    constants = weights("GRU", dtype=dtype)
    path = write(tmp_path / "m.onnx", [cell("GRU"), squeezed()], constants | ONE, element=element, opset=22)
    model = rnnrs_onnx.load(path)
    assert model.dtype == "float32"
    r, z = model.state_dict()["weight_hh_l0"][:H], model.state_dict()["weight_hh_l0"][H : 2 * H]
    np.testing.assert_array_equal(r, constants["R"][0, H : 2 * H].astype(np.float32))
    np.testing.assert_array_equal(z, constants["R"][0, :H].astype(np.float32))


def test_weights_of_int8_are_read_as_what_they_stand_for(tmp_path):
    constants = weights("RNN")
    levels = np.random.default_rng(0).integers(-128, 128, constants.pop("W").shape).astype(np.int8)
    nodes = [helper.make_node("DequantizeLinear", ["levels", "scale"], ["W"]), cell("RNN"), squeezed()]
    path = write(tmp_path / "m.onnx", nodes, constants | ONE | {"levels": levels, "scale": np.float32(0.01)})
    x = np.random.default_rng(0).standard_normal((5, 2, F)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": x})
    compare([rnnrs_onnx.load(path)(x)[0]], expected, "float32")


def test_a_linear_layer_alone(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "V"], ["p"]), helper.make_node("Add", ["b", "p"], ["y"])]
    rng = np.random.default_rng(0)
    constants = {"V": rng.standard_normal((F, 2)).astype(np.float32), "b": np.ones(2, np.float32)}
    path = write(tmp_path / "m.onnx", nodes, constants, inputs=[value("x", ["N", F])], rank=2)
    model, x = rnnrs_onnx.load(path), rng.standard_normal((4, F)).astype(np.float32)
    assert type(model) is rnnrs.Linear
    compare([model(x)], onnxruntime.InferenceSession(path).run(None, {"x": x}), "float32")


def test_weights_in_a_file_beside(tmp_path):
    model = onnx.load(FIXTURES / "lstm.onnx")
    onnx.save(
        model,
        tmp_path / "m.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="w",
        size_threshold=0,
    )
    assert (tmp_path / "w").exists()
    inputs, expected = stored(FIXTURES / "lstm.onnx")
    compare(run_stack(rnnrs_onnx.load(tmp_path / "m.onnx"), inputs), expected, "float32")
    (tmp_path / "w").unlink()
    refused(tmp_path / "m.onnx", "expected an ONNX model", rnnrs.FileError)


def test_functions_of_the_file_are_opened(tmp_path):
    nodes, constants = two_cells(second=("first", "W2", "R", "B"))
    function = helper.make_function(
        "own", "Same", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [helper.make_opsetid("", 20)]
    )
    nodes.insert(2, helper.make_node("Same", ["first"], ["again"], domain="own"))
    nodes[3].input[0] = "again"
    model = onnx.load(write(tmp_path / "m.onnx", nodes, constants))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(model, tmp_path / "m.onnx")
    assert rnnrs_onnx.load(tmp_path / "m.onnx").num_layers == 2


@pytest.mark.parametrize("keep", [0, 1, 100, 1800])
def test_files_that_are_cut(tmp_path, keep):
    data = (FIXTURES / "lstm.onnx").read_bytes()
    assert len(data) > keep
    (tmp_path / "m.onnx").write_bytes(data[:keep])
    refused(tmp_path / "m.onnx", "expected an ONNX model", rnnrs.FileError)


def test_files_that_are_none(tmp_path):
    (tmp_path / "m.onnx").write_text("no model")
    refused(tmp_path / "m.onnx", "expected an ONNX model", rnnrs.FileError)
    rnnrs.LSTM(2, 3).save(tmp_path / "m.safetensors")
    refused(tmp_path / "m.safetensors", "expected an ONNX model", rnnrs.FileError)
    with pytest.raises(FileNotFoundError):
        rnnrs_onnx.load(tmp_path / "none.onnx")
    with pytest.raises(OSError):
        rnnrs_onnx.load(tmp_path)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e300])
def test_weights_that_are_not_finite(tmp_path, number):
    constants = weights("RNN", dtype=np.float64)
    constants["R"][0, 1, 2] = number
    path = write(tmp_path / "m.onnx", [cell("RNN"), squeezed()], constants | ONE, element=TensorProto.DOUBLE)
    with pytest.raises(rnnrs.FileError, match=r"node 'cell' \(RNN\): .* finite in float32, got others in weight_hh_l0"):
        rnnrs_onnx.load(path, dtype="float32")


@pytest.mark.parametrize("name", ["W", "R", "B", "P"])
def test_weights_whose_shapes_disagree(tmp_path, name):
    constants = weights("LSTM")
    constants[name] = np.concatenate([constants[name]] * 2, 1)
    node = cell("LSTM", ["x", "W", "R", "B", "", "", "", "P"])
    refused(
        write(tmp_path / "m.onnx", [node, squeezed()], constants | ONE), f"expected {name} of shape", rnnrs.FileError
    )


def test_features_that_disagree_with_the_weights(tmp_path):
    path = write(tmp_path / "m.onnx", [cell("RNN"), squeezed()], weights("RNN", width=F + 1) | ONE)
    refused(path, "expected 4 features, as in W, got 3", rnnrs.FileError)


def test_weights_that_are_inputs(tmp_path):
    constants = weights("RNN") | ONE
    del constants["W"]
    inputs = [value("x", ["T", "N", F]), value("W", [1, H, F])]
    refused(write(tmp_path / "m.onnx", [cell("RNN"), squeezed()], constants, inputs=inputs), "expected a constant as W")


def test_inputs_that_are_no_tensors(tmp_path):
    several = [helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["T", "N", F])]
    path = write(tmp_path / "m.onnx", [cell("RNN"), squeezed()], weights("RNN") | ONE, inputs=several)
    refused(path, "input 'x': expected a tensor of known rank")


def test_random_numbers(tmp_path):
    nodes, constants = two_cells(second=("noise", "W2", "R", "B"))
    nodes.insert(2, helper.make_node("RandomNormal", [], ["noise"], "draw", shape=[5, 2, H]))
    refused(write(tmp_path / "m.onnx", nodes, constants), r"node 'draw' \(RandomNormal\)")


def test_a_graph_with_loops(tmp_path):
    body = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "body", [value("a", [H])], [value("b", [H])])
    node = helper.make_node("Scan", ["x"], ["y"], "loop", body=body, num_scan_inputs=1)
    refused(write(tmp_path / "m.onnx", [node], {}), r"node 'loop' \(Scan\)")
