"""Weights in int8, by onnxruntime's own tools."""

from __future__ import annotations

import logging
from pathlib import Path

from rnnrs import UnsupportedError


def quantise(path: Path) -> None:
    """Replaces an exported model by one with int8 weights and activations quantised as they come."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise UnsupportedError("dtype='int8': expected onnxruntime, whose tools quantise, to be installed") from error
    made = path.with_suffix(".int8")
    log = logging.getLogger()
    level = log.level
    # It recommends to run a pass that other exporters' graphs need.
    log.setLevel(logging.ERROR)
    try:
        quantize_dynamic(path, made, weight_type=QuantType.QInt8, extra_options={"EnableSubgraph": True})
    finally:
        log.setLevel(level)
    made.replace(path)
