"""Where the examples find their data: the folder that RNNRS_DATA names, or ../shared/data beside the project."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def find(name: str, origin: str) -> Path:
    """The file `name` of the data folder; ends the program with a hint where it is not."""
    folder = Path(os.environ.get("RNNRS_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / name).exists():
        sys.exit(f"{folder / name} is not there; get it from {origin}, and name its folder in RNNRS_DATA")
    return folder / name
