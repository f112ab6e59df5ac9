"""Times exported models on a GPU, or with the same code on the CPU, and writes docs/gpu.md where it was a GPU."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..exported.device import Device, find
from ..measure import available, compare, in_turns
from ..report import DOCS, processor
from . import with_onnxruntime
from .cases import CASES, QUICK, Case
from .report import Measurement, line, page

_TOLERANCE = 1e-3  # of the norm of what the engine gives


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: CUDA where it works")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats, and no page written")
    options = parser.parse_args(arguments)
    device = find(options.device)
    host = f"{processor()}, {available()} processors, Python {sys.version.split()[0]}"
    print(f"device: {device}\nhost: {host}")
    versions = {"onnxruntime": with_onnxruntime.VERSION}
    if importlib.util.find_spec("torch") is None:
        print("torch: not installed, so there is nothing to compare with")
    else:
        from . import with_torch

        versions["torch"] = with_torch.VERSION
    done = []
    for case in QUICK if options.quick else CASES:
        done.append(measure(case, device, against_torch="torch" in versions, quick=options.quick))
        print(line(done[-1]), flush=True)
    if device.name == "cuda" and not options.quick:
        path = DOCS / "gpu.md"
        path.write_text(page(done, device.about, host, versions), encoding="utf-8")
        print(f"written: {path}")
    return 0


def measure(case: Case, device: Device, *, against_torch: bool, quick: bool) -> Measurement:
    """The times of a case; AssertionError where results differ from the engine's."""
    layer = case.layer(case.problem)
    expected = {"y": layer(case.problem.x)[0]}
    with tempfile.TemporaryDirectory() as folder:
        ours, fallbacks = with_onnxruntime.forward(case, layer, device.name, Path(folder))
        contenders = [ours]
        if against_torch:
            from . import with_torch

            contenders.append(with_torch.forward(case.torch, case.problem, layer.state_dict(), device.name))
        differences = []
        for contender in contenders:
            contender.run()
            differences.append(compare(contender.results(), expected, _TOLERANCE))
        how: dict[str, Any] = {"seconds": 0.0, "pause": 0.0, "repeats": (3, 3)} if quick else {}
        times = in_turns(*(contender.run for contender in contenders), **how)
    return Measurement(case, times[0], times[1] if against_torch else None, max(differences), fallbacks)


if __name__ == "__main__":
    sys.exit(main())
