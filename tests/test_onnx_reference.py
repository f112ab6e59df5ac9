"""RNN, GRU and LSTM against the onnx package's ReferenceEvaluator: a third opinion, besides reference/ and PyTorch.

The nodes are built here by hand from the operators' specification (opset 14): W, R, B stacked by gates in ONNX's order,
which is z, r, h for the GRU and i, o, f, c for the LSTM, with peepholes P in the order i, o, f.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import CellCase, flat
from configurations import CELLS

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

ORDER = {"elman": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}
OPERATOR = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}
ALIKE = {"nonlinearity", "bias", "peephole", "reset_after", "forget_bias"}
PLAIN = [c for c in CELLS if c.cell in OPERATOR and set(c.options) <= ALIKE and c.smooth]


def rows(cell, array):
    """The gates of a parameter in ONNX's order."""
    gates = np.split(array, len(ORDER[cell]))
    return np.concatenate([gates[k] for k in ORDER[cell]])


def evaluate(case, p, x, state):
    """One layer and direction, through one node: y (T, B, H) and the final states (B, H)."""
    cell, hidden = case.configuration.cell, case.hidden_size
    options = case.configuration.options
    inputs = {
        "X": x,
        "W": rows(cell, p["weight_ih"])[None],
        "R": rows(cell, p["weight_hh"])[None],
        "initial_h": state[0][None],
    }
    if "bias_ih" in p:
        inputs["B"] = np.concatenate([rows(cell, p["bias_ih"]), rows(cell, p["bias_hh"])])[None]
    if cell == "lstm":
        inputs["initial_c"] = state[1][None]
    if options.get("peephole"):
        inputs["P"] = np.concatenate([p["weight_p_i"], p["weight_p_o"], p["weight_p_f"]])[None]
    places = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    names = [name if name in inputs else "" for name in places]
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", "Y_c"] if cell == "lstm" else ["Y", "Y_h"]
    attributes = {"hidden_size": hidden}
    if cell == "gru":
        attributes["linear_before_reset"] = int(options.get("reset_after", True))
    node = helper.make_node(OPERATOR[cell], names, outputs, **attributes)
    graph = helper.make_graph(
        [node],
        "one layer",
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, array.shape) for name, array in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    y, *final = ReferenceEvaluator(model).run(None, inputs)
    return y[:, 0], [f[0] for f in final]


@pytest.mark.parametrize("configuration", PLAIN, ids=lambda c: c.name)
@given(data=st.data())
def test_forward_equals_the_onnx_operator(configuration, data):
    case = CellCase(
        configuration=configuration,
        input_size=data.draw(st.integers(1, 5)),
        hidden_size=data.draw(st.integers(1, 6)),
        num_layers=data.draw(st.integers(1, 3)),
        bidirectional=data.draw(st.booleans()),
        batch_first=data.draw(st.booleans()),
        steps=data.draw(st.integers(1, 8)),
        batch=data.draw(st.integers(1, 4)),
        initial=True,
        seed=data.draw(st.integers(0, 2**32 - 1)),
    )
    model = case.build()
    y, final = model(case.x, case.state)
    weights, x = model.state_dict(), case.unlay(case.x)
    directions = ["", "_reverse"] if case.bidirectional else [""]
    for layer in range(case.num_layers):
        parts = []
        for d, suffix in enumerate(directions):
            end = f"_l{layer}{suffix}"
            p = {name.removesuffix(end): value for name, value in weights.items() if name.endswith(end)}
            k = layer * len(directions) + d
            turn = slice(None, None, -1 if d else 1)
            out, last = evaluate(case, p, np.ascontiguousarray(x[turn]), [s[k] for s in flat(case.state)])
            parts.append(out[turn])
            for got, expected in zip(flat(final), last, strict=True):
                np.testing.assert_allclose(got[k], expected, rtol=1e-10, atol=1e-13)
        x = np.concatenate(parts, -1)
    np.testing.assert_allclose(case.unlay(y), x, rtol=1e-10, atol=1e-13)
