"""Lossless compression of any bytes by recurrent nets that learn as they go, in encoder and decoder alike.

>>> import rnnrs
>>> archive = rnnrs.codec.compress(b"Never odd or even. " * 50, preset="fast")
>>> rnnrs.codec.decompress(archive) == b"Never odd or even. " * 50
True

An archive has the same bytes on every instruction set and number of threads, and any of them decodes it with the same
version of rnnrs. On the command line: ``rnnrs compress`` and ``rnnrs decompress``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from . import _core

__all__ = ["compress", "decompress", "salvage"]

Preset = Literal["fast", "default", "best"]
Progress = Callable[[int, int], object]


def compress(
    data: bytes,
    preset: Preset = "default",
    model: str | Path | None = None,
    progress: Progress | None = None,
) -> bytes:
    """The archive of ``data``.

    Args:
        data: Any bytes.
        preset: ``"fast"``, ``"default"`` or ``"best"``: larger nets and more direct connections, more time.
        model: The file of a float32 model that was trained before, used in place of an untrained net: it takes bytes as
            tokens (256 of them) and gives 256 logits at each step. The same file is needed to decompress.
        progress: Called about ten times a second with the bytes of data and of archive so far.

    Raises:
        InvalidValueError: an unknown preset, or a model that does not predict bytes.
        UnsupportedError: a model that cannot be run step by step with the same bits.
        FileError: a model's file that is damaged.
    """
    out = io.BytesIO()
    _core.compress(io.BytesIO(data).read, out.write, preset, _bytes(model), progress)
    return out.getvalue()


def decompress(archive: bytes, model: str | Path | None = None, progress: Progress | None = None) -> bytes:
    """What was compressed to ``archive``.

    Args:
        archive: What :func:`compress` returned or ``rnnrs compress`` wrote.
        model: The file that was given to :func:`compress`, if one was.
        progress: As for :func:`compress`.

    Raises:
        FileError: the archive is damaged or cut; the message says where.
        InvalidValueError: the archive was made with another model than is given.
    """
    content, error = salvage(archive, model, progress)
    if error is not None:
        raise error
    return content


def salvage(
    archive: bytes, model: str | Path | None = None, progress: Progress | None = None
) -> tuple[bytes, _core.FileError | None]:
    """The content of all whole blocks before the first damage of ``archive``, and what the damage is, if any.

    Args:
        archive: As for :func:`decompress`.
        model: As for :func:`decompress`.
        progress: As for :func:`compress`.

    Raises:
        InvalidValueError: the archive was made with another model than is given.
    """
    out = io.BytesIO()
    given = _bytes(model)
    try:
        _core.decompress(io.BytesIO(archive).read, out.write, given, progress)
    except _core.FileError as error:
        return out.getvalue(), error
    return out.getvalue(), None


def _bytes(model: str | Path | None) -> bytes | None:
    return None if model is None else Path(model).read_bytes()
