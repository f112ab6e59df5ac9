"""Runs the cases, each pair in a process of its own, prints ratios and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import asdict

from .cases import CASES, Case
from .measure import Measurement, available, measure
from .package import describe
from .report import line, processor, write


def main() -> int:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("case", nargs="*", metavar="CASE", help="cases whose names begin so; all without")
    parser.add_argument("--pair", nargs=3, metavar=("CASE", "PEER", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pair:
        name, peer, threads = options.pair
        print(json.dumps(asdict(measure(CASES[names.index(name)], peer, int(threads)))))
        return 0
    if unknown := [begin for begin in options.case if not any(name.startswith(begin) for name in names)]:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = [case for case in CASES if not options.case or case.name.startswith(tuple(options.case))]
    return _all(chosen, partial=bool(options.case))


def _all(cases: list[Case], partial: bool) -> int:
    machine = f"{processor()}, {available()} processors, Python {sys.version.split()[0]}"
    print(machine)
    missing: dict[str, str] = {}
    done: list[Measurement] = []
    failed = False
    for case in cases:
        print(f"\n{case.name} ({case.problem}): {case.about}")
        for peer in case.peers:
            if importlib.util.find_spec(peer) is None:
                missing[peer] = "not installed; pip install 'rnnrs[bench]'"
                print(f"{peer}: {missing[peer]}")
                continue
            for threads in dict.fromkeys(n or available() for n in case.threads):
                result = _pair(case, peer, threads)
                if result is None:
                    failed = True
                else:
                    done.append(result)
                    print(line(result), flush=True)
    if not partial and not failed:
        package = describe()
        print(f"\n{package}\nwritten: {write(done, missing, machine, package)}")
    return int(failed)


def _pair(case: Case, peer: str, threads: int) -> Measurement | None:
    """One process, so that no third library's threads are about; None where it failed, after it has said why."""
    limit = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--pair", case.name, peer, str(threads)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **limit},
        check=False,
    )
    if child.returncode:
        print(f"{case.name} against {peer}, {threads} threads: failed")
        return None
    return Measurement(**json.loads(child.stdout.splitlines()[-1]))


if __name__ == "__main__":
    sys.exit(main())
