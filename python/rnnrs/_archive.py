"""Files and pipes of the commands compress and decompress: what is read, what is written, and what is shown."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from . import _core

SUFFIX = ".rnz"
_PIPE = "-"


class Bar:
    """Bytes, speed and ratio so far, on standard error if that is a terminal."""

    def __init__(self, label: str, *, enabled: bool) -> None:
        self._label = label
        self._enabled = enabled and sys.stderr.isatty()
        self._began = time.perf_counter()

    def __call__(self, content: int, archive: int) -> None:
        """Shows the bytes of content and of archive."""
        if self._enabled:
            print(f"\r\x1b[K{self._label}: {self.figures(content, archive)}", end="", file=sys.stderr, flush=True)

    def figures(self, content: int, archive: int) -> str:
        """The figures of a line."""
        seconds = max(time.perf_counter() - self._began, 1e-9)
        ratio = f", {archive:,} in the archive ({8 * archive / content:.3f} bits a byte)" if archive and content else ""
        return f"{content:,} bytes{ratio}, {content / seconds / 1000:,.1f} kB/s"

    def close(self) -> None:
        """Clears the line."""
        if self._enabled:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def compress(source: str, out: str | None, preset: str, model: Path | None, *, force: bool, quiet: bool) -> int:
    """Compresses a file or standard input; returns the exit status."""
    target = out or (_PIPE if source == _PIPE else source + SUFFIX)
    given = None if model is None else model.read_bytes()
    _refuse(target, force)
    bar = Bar(source, enabled=not quiet)
    with _reading(source) as read, _writing(target) as (write, _):
        try:
            content, archive = _core.compress(read, write, preset, given, bar)
        finally:
            bar.close()
    if not quiet:
        print(f"{target}: {bar.figures(content, archive)}", file=sys.stderr)
    return 0


def decompress(source: str, out: str | None, model: Path | None, *, force: bool, salvage: bool, quiet: bool) -> int:
    """Decompresses a file or standard input; returns the exit status, 1 if only a part was salvaged."""
    if out is None and source != _PIPE and not source.endswith(SUFFIX):
        raise _core.InvalidValueError(f"FILE: expected a name that ends in {SUFFIX}, or -o OUT, got {source!r}")
    target = out or (_PIPE if source == _PIPE else source.removesuffix(SUFFIX))
    given = None if model is None else model.read_bytes()
    _refuse(target, force)
    bar = Bar(source, enabled=not quiet)
    with _reading(source) as read, _writing(target) as (write, written):
        try:
            content, archive = _core.decompress(read, write, given, bar)
        except _core.FileError as error:
            bar.close()
            if not salvage:
                raise
            print(f"rnnrs: error: {error}\n{target}: {written():,} bytes salvaged", file=sys.stderr)
            return 1
        finally:
            bar.close()
    if not quiet:
        print(f"{target}: {bar.figures(content, archive)}", file=sys.stderr)
    return 0


def _refuse(target: str, force: bool) -> None:
    if target != _PIPE and not force and Path(target).exists():
        raise FileExistsError(f"{target} exists: it is kept (--force replaces it)")


@contextmanager
def _reading(source: str) -> Iterator[Callable[[int], bytes]]:
    if source == _PIPE:
        yield sys.stdin.buffer.read
    else:
        with Path(source).open("rb") as file:
            yield file.read


@contextmanager
def _writing(target: str) -> Iterator[tuple[Callable[[bytes], object], Callable[[], int]]]:
    """To a pipe; or to a file that takes its name only when all of it is there."""
    count = 0

    def into(file: BinaryIO) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            nonlocal count
            file.write(data)
            count += len(data)

        return write

    if target == _PIPE:
        yield into(sys.stdout.buffer), lambda: count
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.exists() and not path.is_file():
        # A device has no other name to be written under.
        with path.open("wb") as file:
            yield into(file), lambda: count
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield into(file), lambda: count
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
