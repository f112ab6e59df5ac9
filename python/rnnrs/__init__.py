"""rnnrs: recurrent neural networks with a core in Rust, trained, streamed and saved from Python on NumPy arrays.

>>> import numpy as np
>>> import rnnrs
>>> lstm = rnnrs.LSTM(input_size=3, hidden_size=8, seed=0)
>>> y, (h, c) = lstm(np.zeros((5, 2, 3)))  # (T, B, F)
>>> y.shape, h.shape, c.shape
((5, 2, 8), (1, 2, 8), (1, 2, 8))

Results have the same bits on every instruction set, for every number of threads, for a row alone or in a batch, and
for one long call or many short ones.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from . import cells, init
from ._cell import Cell
from ._chunker import ChunkerAutomatizer
from ._compressor import HistoryCompressor
from ._core import (
    DtypeError,
    Error,
    FileError,
    InvalidValueError,
    ShapeError,
    StaleTapeError,
    UnsupportedError,
    __version__,
    get_num_threads,
    set_num_threads,
)
from ._feedforward import BatchNorm, Dropout, Embedding, Last, LayerNorm, Linear
from ._files import load
from ._layer import Layer
from ._recurrent import GRU, LSTM, RNN, Recurrent
from ._sequential import Sequential
from ._step_cells import GRUCell, LSTMCell, RNNCell
from ._stream import Stream
from ._tape import Gradients, Tape

if TYPE_CHECKING:
    from . import callbacks, codec, losses, metrics, ops, optim, schedules, testing

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm",
    "Cell",
    "ChunkerAutomatizer",
    "Dropout",
    "DtypeError",
    "Embedding",
    "Error",
    "FileError",
    "GRUCell",
    "Gradients",
    "HistoryCompressor",
    "InvalidValueError",
    "LSTMCell",
    "Last",
    "Layer",
    "LayerNorm",
    "Linear",
    "RNNCell",
    "Recurrent",
    "Sequential",
    "ShapeError",
    "StaleTapeError",
    "Stream",
    "Tape",
    "UnsupportedError",
    "__version__",
    "callbacks",
    "cells",
    "codec",
    "get_num_threads",
    "init",
    "load",
    "losses",
    "metrics",
    "ops",
    "optim",
    "schedules",
    "set_num_threads",
    "testing",
]

_LAZY = {"callbacks", "codec", "losses", "metrics", "ops", "optim", "schedules", "testing"}


def __getattr__(name: str) -> ModuleType:
    # What only training or writing a cell needs is imported when it is asked for.
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
