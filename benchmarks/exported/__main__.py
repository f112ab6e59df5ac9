"""Prints what every cell becomes in ONNX: operator, parity and time for each mode and target; writes a page of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnxruntime

import rnnrs

from ..measure import available
from ..report import processor
from .models import configurations
from .report import HEAD, line, write
from .table import Sizes, rows


def main(arguments: Sequence[str] | None = None, sizes: Sizes | None = None) -> int:
    sizes = sizes or Sizes()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exported", description=__doc__)
    parser.add_argument("cell", nargs="*", metavar="CELL", help="beginnings of names, as printed; all without")
    options = parser.parse_args(arguments)
    wanted = [c for c in configurations() if not options.cell or c.name.startswith(tuple(options.cell))]
    if not wanted:
        parser.error(f"no cell whose name begins with {', '.join(options.cell)}")
    machine = f"{processor()}, {available()} processors, Python {sys.version.split()[0]}"
    version = onnxruntime.__version__
    print(f"{machine}, onnxruntime {version}, one thread each, {sizes}\n{HEAD}")
    done = []
    before = rnnrs.get_num_threads()
    rnnrs.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for configuration in wanted:
                for row in rows(configuration, sizes, Path(folder)):
                    print(line(row), flush=True)
                    done.append(row)
    finally:
        rnnrs.set_num_threads(before)
    if not options.cell:
        print(f"written: {write(done, sizes, machine, version)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
