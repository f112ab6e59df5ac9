"""Measures one pair in this process: results compared first, then timed in turns, call by call."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from rnnrs import _core as rnnrs_core

from .cases import Case
from .problem import Array, Contender

_SECONDS = 4.0
_REPEATS = (7, 100)
_PAUSE = 0.05
_SHORT = 0.02
_PROBE = 0.1


@dataclass(frozen=True)
class Measurement:
    """Seconds of each repeat for rnnrs and for the peer; `difference` is the largest relative one of the results.

    `products`: the share of the processor's most multiply-adds, and `weights`: of the bandwidth of the memory that
    holds the weights, which a row took up by the fastest of its repeats; both yardsticks are taken beside it.
    """

    case: str
    peer: str
    threads: int
    version: str
    ours: list[float]
    theirs: list[float]
    difference: float
    products: float | None = None
    weights: float | None = None

    @property
    def ratio(self) -> float:
        """How many times as fast as the peer rnnrs is, by the medians."""
        return median(self.theirs) / median(self.ours)


def available() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure(case: Case, peer: str, threads: int) -> Measurement:
    """Time `case` with rnnrs and with `peer`, both limited to `threads` threads.

    Raises ImportError where the peer is not installed, AssertionError where the results differ.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    mine = importlib.import_module("benchmarks.peers.with_rnnrs")
    other = importlib.import_module(f"benchmarks.peers.with_{peer}")
    other.setup(threads)
    mine.setup(threads)
    a: Contender = getattr(mine, case.our_kind)(case.problem)
    b: Contender = getattr(other, case.kind)(case.problem)
    a.run()
    b.run()
    difference = compare(a.results(), b.results(), case.tolerance)
    ours, theirs = in_turns(a.run, b.run)
    ours, theirs = [t * a.scale for t in ours], [t * b.scale for t in theirs]
    shares = share(case, threads, min(ours))
    return Measurement(case.name, peer, threads, other.VERSION, ours, theirs, difference, *shares)


def share(case: Case, threads: int, seconds: float) -> tuple[float | None, float | None]:
    """Of the most multiply-adds, and of the most bytes of weights read, for cases that one of the two bounds."""
    problem = case.problem
    # Of several steps in a call the product with the inputs is one for many of them.
    each = "weight_hh" if case.our_kind.startswith("stream_block") else ""
    read = sum(w.nbytes for name, w in problem.weights.items() if name.startswith(each))
    multiply_adds, reads = rnnrs_core.yardsticks(read, _PROBE)
    if problem.batch == 1:
        narrower = {"bfloat16": 2, "int8": 4}.get(case.our_kind.rpartition("_")[2], 1)
        of_reads = read / narrower * problem.steps / seconds / (threads * reads)
        return None, of_reads if case.our_kind.startswith("stream") else None
    passes = 3 if case.our_kind.startswith("train") else 1
    return passes * problem.products / seconds / (threads * multiply_adds), None


def compare(ours: dict[str, Array], theirs: dict[str, Array], tolerance: float) -> float:
    """The largest difference, relative in the norm of each array; AssertionError above `tolerance`."""
    assert ours.keys() == theirs.keys(), f"results of other names: {sorted(ours)} and {sorted(theirs)}"
    worst = 0.0
    for name, a in ours.items():
        b = theirs[name]
        assert a.shape == b.shape, f"{name}: shape {a.shape} beside {b.shape}"
        worst = max(worst, float(np.linalg.norm(a - b) / np.linalg.norm(b)))
        assert worst <= tolerance, f"{name}: results differ by {worst:.1e} of their norm"
    return worst


def in_turns(
    *calls: Callable[[], None], seconds: float = _SECONDS, pause: float = _PAUSE, repeats: tuple[int, int] = _REPEATS
) -> list[list[float]]:
    """The seconds that each call took, for each of several turns, between so many repeats in about `seconds`.

    A pause before each call lets the threads of the other library, which spin for some milliseconds, go to rest. After
    it caches are cold and the processor has slowed down, so a short call is made once before it is timed.
    """
    first = [_seconds(call, pause, warm=False) for call in calls]
    short = [time < _SHORT for time in first]
    turns = int(np.clip(seconds / max(sum(first) + pause * len(calls), 1e-9), *repeats))
    times = [[_seconds(call, pause, warm) for call, warm in zip(calls, short, strict=True)] for _ in range(turns)]
    return [list(of_one) for of_one in zip(*times, strict=True)]


def _seconds(call: Callable[[], None], pause: float, warm: bool) -> float:
    time.sleep(pause)
    if warm:
        call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
