"""What the package itself costs: importing it, and its size as a wheel packs it."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from statistics import median

import rnnrs

from .measure import in_turns


def describe() -> str:
    """A sentence with the seconds of `import rnnrs` beyond NumPy's, medians in turns, and the packed megabytes."""

    def imports(name: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)

    numpy, ours = in_turns(lambda: imports("numpy"), lambda: imports("rnnrs"), seconds=5, pause=0, repeats=(7, 30))
    seconds = median(ours) - median(numpy)
    return (
        f"`import rnnrs` takes {seconds:.2f} s beyond NumPy's {median(numpy):.2f} s (at most 0.10 are aimed at); "
        f"the package, packed as a wheel is, has {packed() / 1e6:.1f} MB (10)."
    )


def packed() -> int:
    """Bytes of all files of the package in a zip archive."""
    memory, folder = io.BytesIO(), Path(rnnrs.__file__).parent
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(folder))
    return memory.tell()
