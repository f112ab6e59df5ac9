"""ONNX for rnnrs: models exported, run under onnxruntime, and foreign ones imported.

``export`` (also ``model.to_onnx(...)`` and ``rnnrs export``) writes a model, built-in or with cells of one's own, as a
graph that onnxruntime runs on CPUs, on CUDA, in browsers and on small devices. ``Session`` runs it and carries its
state. ``load`` reads RNN, GRU and LSTM models that other libraries wrote.
"""

from __future__ import annotations

from ._export import export
from ._load import load
from ._report import Parity, Report
from ._session import Session
from ._verify import ExportError

__all__ = ["ExportError", "Parity", "Report", "Session", "export", "load"]
