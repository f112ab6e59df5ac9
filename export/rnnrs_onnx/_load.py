"""Models of others: an ONNX file read as a layer, or a Sequential of layers, of rnnrs."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import onnx.inliner

import rnnrs

from . import _load_build, _load_chain
from ._load_trace import Trace

# Sizes of the axes that a file leaves open: what depends on them differs between the two.
_SIZES = (5, 8)


def load(path: str | os.PathLike[str], *, dtype: str | None = None) -> rnnrs.Layer:
    """Reads an ONNX file, such as ``torch.onnx.export`` writes it, as a model of rnnrs with the same results.

    Carried are RNN (tanh, relu, sigmoid), GRU (both forms) and LSTM (peepholes, coupled gates), of one or two
    directions, upon each other, with initial states and lengths as inputs; embeddings (Gather), linear layers (MatMul,
    Gemm, Add) and LayerNormalization; the last step alone, as output or below a linear layer; and between them whatever
    only moves numbers (Transpose, Reshape, Slice, ...). Dropout, which computes nothing in such a file, is left out.

    A file of one recurrent layer, or of several alike upon each other, gives ``rnnrs.RNN``, ``GRU`` or ``LSTM``, with
    ``num_layers``, ``bidirectional`` and ``batch_first`` as in the file: ``y, state = model(x, state, lengths)``. A
    file of one embedding, linear layer or normalisation gives that. Any other gives a ``rnnrs.Sequential``, which takes
    and gives (N, T, ...), also where the file has (T, N, ...), and whose ``state`` has an item for each recurrent
    layer. Final states, if the file gives them, are those of the model. Beyond a row's length y is 0, whatever the file
    has there, and a row of length 0 keeps its initial state.

    Args:
        path: the file; weights that it keeps in other files beside it are read from there.
        dtype: "float32" or "float64"; None takes the file's, float32 for the smaller types, which it holds exactly.

    Raises:
        UnsupportedError: the file holds what no model of rnnrs computes; the message names the node and says why.
        FileError: no ONNX file, or one whose parts disagree.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb"):
        pass  # A file that is not there is the system's to report.
    try:
        model = _read(os.fspath(path))
        chain, other = (_load_chain.find(Trace(model, size), model.graph) for size in _SIZES)
        if chain.nodes != other.nodes:
            raise rnnrs.UnsupportedError("expected the same layers for any number of steps and rows, got others")
        return _load_build.build(chain, dtype)
    except (rnnrs.UnsupportedError, rnnrs.FileError) as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error


def _read(path: str) -> onnx.ModelProto:
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise rnnrs.FileError(f"expected an ONNX model, got {error}") from error
    model = onnx.load(path, format="protobuf")
    return onnx.inliner.inline_local_functions(model) if model.functions else model
