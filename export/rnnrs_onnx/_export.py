"""`export`: a model to a file, checked before it takes its place."""

from __future__ import annotations

import copy
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import rnnrs
from rnnrs import DtypeError, InvalidValueError, UnsupportedError

from . import _quantise, _verify
from ._build import Built, Options, build
from ._choose import SCANS, TARGETS
from ._report import Report

MODES = ("sequence", "step", "loop")
DTYPES = ("float32", "float64", "float16", "int8")
SAMPLES = ("random", "argmax")
LARGEST = 2**31 - 2**20
"""Bytes of a file; protobuf cannot hold more than 2 GiB, so above this the weights lie in a file beside it."""


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    mode: str = "sequence",
    target: str = "cpu",
    dtype: str | None = None,
    lengths: bool = False,
    zero_state: bool = False,
    noise: bool = False,
    scan: str = "auto",
    sample: str = "random",
    verify: bool = True,
    explain: bool = False,
) -> Report:
    """Writes a model as an ONNX file; see ``rnnrs.Sequential.to_onnx``, which calls this."""
    options = _options(
        model,
        mode=mode,
        target=target,
        dtype=dtype,
        lengths=lengths,
        zero_state=zero_state,
        noise=noise,
        scan=scan,
        sample=sample,
    )
    _finite(model)
    if model.precision != "full":
        # The file has the parameters as they are, and is compared with a model that has them too.
        model = copy.copy(model)
        model.precision = "full"
    target_path = Path(path)
    if target_path.is_dir() or target_path.name == "":
        raise InvalidValueError(f"path: expected the name of a file, got the folder {str(path)!r}")
    quantised = dtype == "int8"
    built = build(model, options)
    report = Report(built, quantised)
    with _beside(target_path) as folder:
        file = folder / target_path.name
        data = _write(built, file)
        if quantised:
            _quantise.quantise(file)
        if verify:
            report.parity = _verify.verify(model, built, file, quantised=quantised)
        report.bytes = sum(each.stat().st_size for each in (file, data) if each is not None)
        if data is not None:
            data.replace(target_path.parent / data.name)
        file.replace(target_path)
        _remove_old_data(target_path, keep=data)
    if explain:
        print(report)
    return report


def _options(model: Any, *, dtype: str | None, **given: Any) -> Options:
    """Options that are known and go together."""
    if not isinstance(getattr(model, "_native", None), rnnrs._core.Model):
        raise DtypeError(f"model: expected a model of rnnrs, got {type(model).__name__}")
    from rnnrs._step_cells import StepCell

    allowed = {"mode": MODES, "target": TARGETS, "scan": SCANS, "sample": SAMPLES}
    for name, values in allowed.items():
        if given[name] not in values:
            raise InvalidValueError(f"{name}: expected one of {', '.join(map(repr, values))}, got {given[name]!r}")
    dtype = model.dtype if dtype is None else dtype
    if dtype not in DTYPES:
        raise InvalidValueError(f"dtype: expected one of {', '.join(map(repr, DTYPES))}, got {dtype!r}")
    if given["lengths"] and given["mode"] != "sequence":
        raise UnsupportedError(f"lengths: expected mode 'sequence', in which there are lengths, got {given['mode']!r}")
    if given["scan"] != "auto" and given["mode"] != "sequence":
        raise UnsupportedError(f"scan: expected mode 'sequence', in which there is one, got {given['mode']!r}")
    draws = given["mode"] == "loop" and model._native.input[0] == "tokens"
    if given["sample"] != "random" and not draws:
        raise UnsupportedError("sample: expected mode 'loop' and a model of tokens, which alone are drawn, got another")
    if given["noise"] and any(layer["layer"] == "batch_norm" or layer.get("batch_norm") for layer in model._layers):
        raise UnsupportedError(
            "noise: expected a model without batch normalisation, whose statistics in training are those of the batch"
        )
    if isinstance(model, StepCell) and given["mode"] != "step":
        raise UnsupportedError(f"mode: expected 'step' for {type(model).__name__}, got {given['mode']!r}")
    quantised = dtype == "int8"
    return Options(dtype="float32" if quantised else dtype, quantised=quantised, **given)


def _finite(model: Any) -> None:
    for name, value in model.state_dict().items():
        if not np.all(np.isfinite(value)):
            raise InvalidValueError(f"model: expected finite parameters, got NaN or infinity in '{name}'")


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder on the same disk as the file that is to be."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield Path(folder)


def _write(built: Built, path: Path) -> Path | None:
    """Writes the model; returns the file of its weights, if they do not fit into one."""
    size = built.proto.ByteSize() if not _large(built.proto) else LARGEST + 1
    if size <= LARGEST:
        # The order of a map's entries would otherwise be anyone's.
        path.write_bytes(built.proto.SerializeToString(deterministic=True))
        return None
    digest = hashlib.sha256()
    for tensor in built.proto.graph.initializer:
        digest.update(tensor.raw_data)
    # Named after what it holds, so that an older file keeps its own weights until it is replaced.
    data = path.with_name(f"{path.name}.{digest.hexdigest()[:12]}.data")
    onnx.save_model(
        built.proto, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location=data.name
    )
    return data


def _large(proto: onnx.ModelProto) -> bool:
    return sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > LARGEST


def _remove_old_data(path: Path, keep: Path | None) -> None:
    """Removes the weights of the file that was replaced."""
    for old in path.parent.glob(f"{path.name}.*.data"):
        if keep is None or old.name != keep.name:
            old.unlink(missing_ok=True)
