"""ONNX Runtime: a graph of one LSTM operator. It runs models and does not train them."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ..problem import Array, Contender, Problem

VERSION = onnxruntime.__version__
_threads = 1


def setup(threads: int) -> None:
    global _threads
    _threads = threads


def _iofc(weight: Array) -> Array:
    """ONNX's gate order from PyTorch's: i, f, g, o to i, o, f, c; with ONNX's leading dimension of directions."""
    i, f, g, o = np.split(weight, 4)
    return np.concatenate([i, o, f, g])[None]


def _session(problem: Problem, steps: int) -> onnxruntime.InferenceSession:
    w = {name: _iofc(value) for name, value in problem.weights.items()}
    constants = {
        "W": w["weight_ih_l0"],
        "R": w["weight_hh_l0"],
        "B": np.concatenate([w["bias_ih_l0"], w["bias_hh_l0"]], axis=1),
    }
    state = [1, problem.batch, problem.hidden]

    def value(name: str, shape: list[int]) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["y", "h_n", "c_n"], hidden_size=problem.hidden)],
        "lstm",
        [value("x", [steps, problem.batch, problem.inputs]), value("h", state), value("c", state)],
        [value("y", [steps, *state]), value("h_n", state), value("c_n", state)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _zeros(problem: Problem) -> Array:
    return np.zeros((1, problem.batch, problem.hidden), np.float32)


def forward(problem: Problem) -> Contender:
    session, last = _session(problem, problem.steps), {}
    feed = {"x": problem.x, "h": _zeros(problem), "c": _zeros(problem)}

    def run() -> None:
        last["y"], last["h"], last["c"] = session.run(None, feed)

    return Contender(run, lambda: {"y": last["y"][:, 0], "h": last["h"][0], "c": last["c"][0]})


def stream(problem: Problem) -> Contender:
    session, last = _session(problem, 1), {}
    steps = list(problem.x[:, None])
    zeros = _zeros(problem)

    def run() -> None:
        h, c = zeros, zeros
        for x in steps:
            y, h, c = session.run(None, {"x": x, "h": h, "c": c})
        last["y"] = y

    return Contender(run, lambda: {"y": last["y"][0, 0, 0]})
