"""Checkpoints: a run of fit in one file, and that run taken up again with the same bits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _container, _core
from ._core import InvalidValueError
from ._evaluate import Tally

if TYPE_CHECKING:
    from ._fit import Run

MAGIC = b"rnnrs checkpoint 1\n"


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
    _container.write(path, MAGIC, header, parts)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(header, parts); FileError where one byte is not as it was written."""
    return _container.read(path, MAGIC, "a checkpoint")


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
