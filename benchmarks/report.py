"""Writes what was measured: lines for the terminal, docs/benchmarks.md and its chart."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from .cases import CASES, Case
from .measure import Measurement

DOCS = Path(__file__).parent.parent / "docs"
_BY_NAME = {case.name: case for case in CASES}


def processor() -> str:
    """The processor's own name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _goal(case: Case, peer: str) -> float | None:
    return dict(case.goals).get(peer)


def _against(m: Measurement) -> str:
    return _BY_NAME[m.case].against or m.peer


def line(m: Measurement) -> str:
    """One measurement for the terminal, in milliseconds: median (minimum)."""
    return (
        f"{m.case:19} {m.threads} thread{'s' if m.threads > 1 else ' '}  "
        f"rnnrs {_ms(m.ours):>18} ms   {_against(m):18} {_ms(m.theirs):>18} ms   {m.ratio:6.2f} times as fast"
        f"   {len(m.ours)} repeats, difference {m.difference:.0e}   {_share(m)}   {_goal_text(m)}"
    )


def _share(m: Measurement) -> str:
    """How much of the processor a measurement took up."""
    if m.products is not None:
        return f"{m.products:.0%} of FMA"
    return "" if m.weights is None else f"{m.weights:.0%} of reads"


def reached(m: Measurement) -> bool | None:
    """Whether what was aimed at was reached; None where nothing was."""
    case = _BY_NAME[m.case]
    goal = _goal(case, m.peer)
    if case.limit is not None:
        return 1e6 * median(m.ours) / case.problem.steps <= case.limit
    return None if goal is None else m.ratio >= goal


def _ms(seconds: Sequence[float]) -> str:
    """Milliseconds: median (minimum)."""
    return f"{1e3 * median(seconds):.2f} ({1e3 * min(seconds):.2f})"


def write(measurements: Sequence[Measurement], missing: dict[str, str], machine: str, package: str) -> Path:
    """Write docs/benchmarks.md and docs/benchmarks.png; returns the former's path."""
    rows = [
        f"| {m.case} | {_BY_NAME[m.case].problem} | {m.threads} | {_ms(m.ours)} | {_against(m)} | {_ms(m.theirs)} "
        f"| {m.ratio:.2f} | {_goal_text(m)} | {_share(m)} |"
        for m in measurements
    ]
    cases = [f"- {', '.join(f'**{name}**' for name in names)}: {about}." for about, names in _kinds().items()]
    versions = sorted({(m.peer, m.version) for m in measurements})
    text = [
        "# Speed",
        "",
        "Written by `make bench`. Networks in float32 where a case does not say otherwise, the same weights and data",
        "for all. Both sides of a row",
        "ran in one process with the same number of threads, in turns, call by call, after their results had been",
        "compared. Times are milliseconds, median (minimum); the ratio of the medians says how many times as fast",
        "rnnrs is. Each call comes after a pause, a short one after another call of its own that is not timed.",
        "The last column says how much of the processor our fastest call took up: of the float32",
        "multiply-adds that it can do out of registers, or, where weights are read for each step (of several steps",
        "in a call those of the recurrence), of the bytes that it can read from memory of their size; both are",
        "measured beside the row.",
        "",
        f"Machine: {machine}. Versions: {', '.join(f'{name} {version}' for name, version in versions)}.",
        *[f"Not measured: {name} ({reason})." for name, reason in missing.items()],
        "",
        *cases,
        "",
        package,
        "",
        _summary(measurements),
        "",
        "| case | network | threads | rnnrs | against | its time | ratio | goal | share |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "![ratios](benchmarks.png)",
        "",
    ]
    _chart(measurements, DOCS / "benchmarks.png")
    path = DOCS / "benchmarks.md"
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def _summary(measurements: Sequence[Measurement]) -> str:
    """How many rows miss what is aimed at."""
    verdicts = [reached(m) for m in measurements]
    aimed, missed = len(verdicts) - verdicts.count(None), verdicts.count(False)
    return f"{missed} of the {aimed} rows with a goal miss it; [performance.md](performance.md) says why."


def _kinds() -> dict[str, list[str]]:
    """What cases measure, and what their names begin with."""
    kinds: dict[str, list[str]] = {}
    for case in CASES:
        begin = re.sub(r"-(h\d+|\d+|lone)$", "", case.name)
        names = kinds.setdefault(case.about, [])
        if begin not in names:
            names.append(begin)
    return kinds


def _goal_text(m: Measurement) -> str:
    case = _BY_NAME[m.case]
    goal = _goal(case, m.peer)
    verdict = {True: "", False: " (missed)", None: ""}[reached(m)]
    if case.limit is not None:
        return f"{1e6 * median(m.ours) / case.problem.steps:.2f} µs a step, at most {case.limit:.2f}{verdict}"
    return "" if goal is None else f"{goal:.2f}{verdict}"


def _chart(measurements: Sequence[Measurement], path: Path) -> None:
    from matplotlib.figure import Figure

    labels = [f"{m.case}, {m.threads} thr. / {_against(m)}" for m in measurements]
    figure = Figure(figsize=(8, 0.24 * len(measurements) + 1.2), layout="constrained")
    axes = figure.subplots()
    ratios = [m.ratio for m in measurements]
    bars = axes.barh(labels, ratios, color=["tab:orange" if reached(m) is False else "tab:blue" for m in measurements])
    axes.bar_label(bars, fmt=" %.2f", fontsize="small")
    axes.tick_params(axis="y", labelsize="small")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.005)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as the peer (orange: less than is aimed at)")
    figure.savefig(path, dpi=90, pil_kwargs={"optimize": True})
