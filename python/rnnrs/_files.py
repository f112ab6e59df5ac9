"""Files: models written with a note of their class, and read back as that class. Loading runs no code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import (
    _arrays,
    _checkpoint,
    _chunker,
    _core,
    _feedforward,
    _parameters,
    _recurrent,
    _sequential,
    _spec,
    _step_cells,
)
from ._core import FileError
from ._layer import Layer

_NOTES = "python"
_KIND = b'"chunker_automatizer":'  # inside of a text the quotes would be escaped
_CELLS: dict[str, type[Layer]] = {"elman": _recurrent.RNN, "lstm": _recurrent.LSTM, "gru": _recurrent.GRU}
_STEPS: dict[str, type[_step_cells.StepCell]] = {
    "elman": _step_cells.RNNCell,
    "lstm": _step_cells.LSTMCell,
    "gru": _step_cells.GRUCell,
}
_LAYERS: dict[str, type[Layer]] = {
    "embedding": _feedforward.Embedding,
    "linear": _feedforward.Linear,
    "layer_norm": _feedforward.LayerNorm,
    "batch_norm": _feedforward.BatchNorm,
}


def save(owner: _parameters.Parameterised, path: str | os.PathLike[str]) -> None:
    """See ``Parameterised.save``."""
    notes = {"class": type(owner).__name__, **owner._notes()}
    owner._native.save(os.fspath(path), {_NOTES: json.dumps(notes, sort_keys=True)})


def load(path: str | os.PathLike[str], *, allow_nonfinite: bool = False) -> Any:
    """Reads a model that ``model.save`` or ``callbacks.Checkpoint`` wrote, as the class it was: LSTM, Sequential, ...

    Loading runs no code. Files that were cut or changed, that come from a newer version, or whose shapes disagree are
    refused, and so are parameters that are not finite unless ``allow_nonfinite``.

    Raises:
        FileError: with what was expected and what the file holds.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        start = file.read(64)
    if start.startswith(b"rnnrs history"):
        from . import _compressor

        return _compressor.load(path, allow_nonfinite=allow_nonfinite)
    if not start.startswith(_checkpoint.MAGIC) and _KIND in _header(path):
        return _chunker.load(path, allow_nonfinite)
    if start.startswith(_checkpoint.MAGIC):
        header, parts = _checkpoint.read(path)
        model = _core.Model.from_bytes(parts["model"], allow_nonfinite)
        notes = {"class": header["class"], **header["notes"]}
    else:
        model, extra = _core.Model.load(os.fspath(path), allow_nonfinite)
        notes = _read_notes(path, extra.get(_NOTES, "{}"))
    natural = _class_of(json.loads(model.spec))
    named = notes.get("class")
    # A user's subclass is read as the class of this package that it extends.
    chosen = _recurrent.Recurrent if named == "Recurrent" and issubclass(natural, _recurrent.Recurrent) else natural
    return _parameters.rebuild(chosen, model, notes)


def model(data: bytes, allow_nonfinite: bool) -> Any:
    """A model from the bytes of its file, without what Python noted of it."""
    native = _core.Model.from_bytes(data, allow_nonfinite)
    return _parameters.rebuild(_class_of(json.loads(native.spec)), native, {})


def _header(path: str | os.PathLike[str]) -> bytes:
    """The header of a safetensors file; whether it is sound is for those to say who read the file."""
    with Path(path).open("rb") as file:
        return file.read(min(int.from_bytes(file.read(8), "little"), 1 << 24))


def _read_notes(path: str | os.PathLike[str], text: str) -> dict[str, Any]:
    try:
        notes = json.loads(text)
        sound = isinstance(notes, dict) and all(isinstance(value, str) for value in notes.get("metadata", {}).values())
    except (ValueError, AttributeError):
        sound = False
    if not sound:
        raise FileError(f"{path}: expected notes as rnnrs writes them, got {text[:80]!r}")
    return dict(notes)


def layer(spec: _spec.LayerSpec, dtype: str, values: Mapping[str, _arrays.Array]) -> Layer:
    """One layer by itself with the given parameters."""
    model = _core.Model(_spec.chain([spec], prefix=False), dtype, 0)
    if values:
        model.set(dict(values))
    cls = _class_of({"prefix": False, "layers": [spec]})
    made = _parameters.rebuild(cls, model, {})
    assert isinstance(made, Layer)
    return made


def _class_of(spec: dict[str, Any]) -> type[_parameters.Parameterised]:
    """The class of this package that is made of such a chain."""
    if spec["prefix"]:
        return _sequential.Sequential
    first = spec["layers"][0]
    if first["layer"] == "recurrent":
        if first["suffix"]:
            return _CELLS.get(first["cell"], _recurrent.Recurrent)
        return _STEPS.get(first["cell"], _step_cells.StepCell)
    return _LAYERS[first["layer"]]
