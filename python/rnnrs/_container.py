"""A file of several parts: written atomically, checked on reading.

It is a magic line, the SHA-256 of everything after it, the length of a JSON header (8 bytes, little endian), the
header, and the parts that the header lists by name and length.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._core import FileError

_DIGEST = 32


def write(path: str | os.PathLike[str], magic: bytes, header: Mapping[str, Any], parts: Mapping[str, bytes]) -> None:
    """Writes the file whole, or leaves the old one."""
    _replace(Path(path), magic + to_bytes(header, parts))


def to_bytes(header: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """Everything behind the magic line."""
    listed = {**header, "parts": [[name, len(data)] for name, data in parts.items()]}
    text = json.dumps(listed).encode()
    body = len(text).to_bytes(8, "little") + text + b"".join(parts.values())
    return hashlib.sha256(body).digest() + body


def read(path: str | os.PathLike[str], magic: bytes, what: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(header, parts); FileError where one byte is not as it was written."""
    data = Path(path).read_bytes()
    if not data.startswith(magic):
        raise FileError(f"{path}: expected {what} of rnnrs, which begins with {magic!r}, got {data[: len(magic)]!r}")
    try:
        return from_bytes(data[len(magic) :], what)
    except FileError as error:
        raise FileError(f"{path}: {error}") from None


def from_bytes(data: bytes, what: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What `to_bytes` was given."""
    if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        raise FileError(f"expected {what} as it was written, got one that was cut or changed")
    offset = _DIGEST + 8 + int.from_bytes(data[_DIGEST : _DIGEST + 8], "little")
    header: dict[str, Any] = json.loads(data[_DIGEST + 8 : offset])
    parts = {}
    for name, length in header["parts"]:
        parts[name] = data[offset : offset + length]
        offset += length
    return header, parts


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
