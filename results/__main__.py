"""Runs what is not measured yet, a run after the other, and writes docs/results.md and its pictures."""

from __future__ import annotations

import argparse
import sys

from .cases import CASES
from .report import write
from .store import Store


def main() -> int:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m results", description=__doc__)
    parser.add_argument("case", nargs="*", metavar="CASE", help=f"one or more of {', '.join(names)}; all without")
    parser.add_argument("--report", action="store_true", help="only write the page from what was measured before")
    options = parser.parse_args()
    if unknown := set(options.case) - set(names):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    store = Store()
    if not options.report:
        for case in CASES:
            if not options.case or case.name in options.case:
                for run in case.runs:
                    store.measure(run)
                print(f"{case.name}: {len(case.runs)} runs are there; written: {write(store)}", flush=True)
    print(f"written: {write(store)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
