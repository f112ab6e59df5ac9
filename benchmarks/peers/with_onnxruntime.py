"""ONNX Runtime: a graph of one LSTM, GRU or RNN operator. It runs models and does not train them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from ..problem import GATES, Array, Contender, Problem

VERSION = onnxruntime.__version__
_threads = 1

ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""ONNX's gates from PyTorch's: i, o, f, c of i, f, g, o; z, r, h of r, z, n."""


def setup(threads: int) -> None:
    global _threads
    _threads = threads


def _session(problem: Problem, steps: int) -> onnxruntime.InferenceSession:
    def ordered(name: str) -> Array:
        parts = np.split(problem.weights[f"{name}_l0"], GATES[problem.cell])
        return np.concatenate([parts[k] for k in ORDER[problem.cell]])[None]

    biases = np.concatenate([ordered("bias_ih"), ordered("bias_hh")], axis=1)
    constants = {"W": ordered("weight_ih"), "R": ordered("weight_hh"), "B": biases}
    state = [1, problem.batch, problem.hidden]

    def value(name: str, shape: list[int]) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    before, after = ["h", "c"][: problem.states], ["h_n", "c_n"][: problem.states]
    options: dict[str, Any] = {"linear_before_reset": 1} if problem.cell == "gru" else {}
    node = helper.make_node(
        problem.cell.upper(),
        ["x", "W", "R", "B", "", *before],
        ["y", *after],
        hidden_size=problem.hidden,
        **options,
    )
    graph = helper.make_graph(
        [node],
        problem.cell,
        [value("x", [steps, problem.batch, problem.inputs]), *(value(name, state) for name in before)],
        [value("y", [steps, *state]), *(value(name, state) for name in after)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = _threads
    settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def _zeros(problem: Problem) -> dict[str, Array]:
    zeros = np.zeros((1, problem.batch, problem.hidden), np.float32)
    return dict.fromkeys(["h", "c"][: problem.states], zeros)


def forward(problem: Problem) -> Contender:
    session, last = _session(problem, problem.steps), {}
    feed = {"x": problem.x, **_zeros(problem)}

    def run() -> None:
        last["y"], *last["states"] = session.run(None, feed)

    def results() -> dict[str, Array]:
        return {"y": last["y"][:, 0], **{f"state{k}": state[0] for k, state in enumerate(last["states"])}}

    return Contender(run, results)


def stream(problem: Problem) -> Contender:
    session, last = _session(problem, 1), {}
    steps = list(problem.x[:, None])
    zeros = _zeros(problem)

    def run() -> None:
        state = zeros
        for x in steps:
            y, *after = session.run(None, {"x": x, **state})
            state = dict(zip(zeros, after, strict=True))
        last["y"] = y

    return Contender(run, lambda: {"y": last["y"][0, 0, 0]})
