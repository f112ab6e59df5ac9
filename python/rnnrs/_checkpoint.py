"""Checkpoints: a run of fit in one file, written atomically, checked on reading, and taken up again with the same bits.

The file is the magic line, the SHA-256 of everything after it, the length of a JSON header (8 bytes, little endian),
the header, and the parts that the header lists by name and length.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._core import FileError, InvalidValueError
from ._evaluate import Tally

if TYPE_CHECKING:
    from ._fit import Run

MAGIC = b"rnnrs checkpoint 1\n"
_DIGEST = 32


def write(run: Run, path: str | os.PathLike[str]) -> None:
    """Everything that ``resume`` needs."""
    optimizer = run.optimizer.state_dict()
    parts = {"model": run.model._native.to_bytes(), "optimizer": optimizer.pop("state")}
    header: dict[str, Any] = {
        "class": type(run.model).__name__,
        "notes": run.model._notes(),
        "optimizer": optimizer,
        "seed": run._seed,
        "epoch": run.epoch,
        "update": run.update,
        "done": run._done,
        "tally": [run._tally.total, run._tally.weight],
        "last": [run.loss, run.rate],
        "history": {"epochs": dict(run.history), "updates": run.history.updates, "seconds": run.history.seconds},
        "state": None if run._state is None else [list(array.shape) for array in run._state],
        "callbacks": [],
    }
    if run._state is not None:
        little = np.dtype(run.model.dtype).newbyteorder("<")
        parts |= {f"state.{index}": array.astype(little).tobytes() for index, array in enumerate(run._state)}
    for index, callback in enumerate(run.callbacks):
        state = callback.state_dict()
        blobs = {name: value for name, value in state.items() if isinstance(value, bytes)}
        parts |= {f"callback.{index}.{name}": value for name, value in blobs.items()}
        plain = {name: value for name, value in state.items() if name not in blobs}
        header["callbacks"].append({"class": type(callback).__name__, "plain": plain, "bytes": sorted(blobs)})
    header["parts"] = [[name, len(data)] for name, data in parts.items()]
    text = json.dumps(header).encode()
    body = len(text).to_bytes(8, "little") + text + b"".join(parts.values())
    _replace(Path(path), MAGIC + hashlib.sha256(body).digest() + body)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(header, parts); FileError where one byte is not as it was written."""
    data = Path(path).read_bytes()
    start = len(MAGIC) + _DIGEST
    if not data.startswith(MAGIC):
        raise FileError(f"{path}: expected a checkpoint of rnnrs, which begins with {MAGIC!r}, got {data[:19]!r}")
    if hashlib.sha256(data[start:]).digest() != data[len(MAGIC) : start]:
        raise FileError(f"{path}: expected the checkpoint as it was written, got one that was cut or changed")
    offset = start + 8 + int.from_bytes(data[start : start + 8], "little")
    header: dict[str, Any] = json.loads(data[start + 8 : offset])
    parts = {}
    for name, length in header["parts"]:
        parts[name] = data[offset : offset + length]
        offset += length
    return header, parts


def resume(run: Run, path: str | os.PathLike[str]) -> None:
    """Puts a run where the file's was."""
    header, parts = read(path)
    model, saved = run.model._native, _core.Model.from_bytes(parts["model"], True)
    if (saved.spec, saved.dtype) != (model.spec, model.dtype):
        raise InvalidValueError(
            f"resume: expected a checkpoint of {model.dtype} {model.spec}, got {saved.dtype} {saved.spec}"
        )
    run.optimizer.load_state_dict({**header["optimizer"], "state": parts["optimizer"]})
    model.set({name: saved.get(name) for name, _, _ in saved.parameters()})
    run._seed, run.epoch, run.update, run._done = (header[key] for key in ("seed", "epoch", "update", "done"))
    run._tally = Tally(*header["tally"])
    run.loss, run.rate = header["last"]
    run.history._restore_epochs(header["history"]["epochs"])
    run.history.updates = header["history"]["updates"]
    run.history.seconds = header["history"]["seconds"]
    if header["state"] is not None:
        little = np.dtype(model.dtype).newbyteorder("<")
        run._state = [
            np.frombuffer(parts[f"state.{index}"], little).astype(model.dtype).reshape(shape)
            for index, shape in enumerate(header["state"])
        ]
    # A callback goes on from the state of the one of its class; one that was not there before begins anew.
    saved_callbacks = list(enumerate(header["callbacks"]))
    for callback in run.callbacks:
        for place, (index, entry) in enumerate(saved_callbacks):
            if entry["class"] == type(callback).__name__:
                blobs = {name: parts[f"callback.{index}.{name}"] for name in entry["bytes"]}
                callback.load_state_dict({**entry["plain"], **blobs})
                del saved_callbacks[place]
                break


def _replace(path: Path, data: bytes) -> None:
    """Writes beside the file and renames, so that at every moment the old or the new one is whole."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
