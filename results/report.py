"""Writes docs/results.md and its pictures from what was measured: the published figure beside ours."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

from .cases import CASES, Case, Row
from .pictures import PICTURES
from .store import ROOT, Figures, Store

DOCS = ROOT / "docs"
HEAD = """
Claims of the literature, measured again with rnnrs. Written by `make results` from the figures that the
[examples](../examples) gave at full size, which are in [results.json](results.json); `make results CASE=counting` runs
one case. What was made is not made again, and a run that was cut goes on where it was. The runs of a row differ in
their seed alone. Times are the median of a row's runs, each on one thread of a machine that had other work to do.
"""


def write(store: Store, folder: Path = DOCS) -> Path:
    """Writes results.md and the pictures into the folder; returns the former's path."""
    sections = [section for case in CASES if (section := _section(store, case, folder))]
    path = folder / "results.md"
    path.write_text("\n".join(["# Results", "", _filled(HEAD), "", *sections]), encoding="utf-8")
    return path


def _section(store: Store, case: Case, folder: Path) -> str:
    """A case as text, table and picture; empty where nothing was measured."""
    found = [(row, figures) for row in case.rows if (figures := _found(store, row))]
    if not found:
        return ""
    table = [
        (row.what, row.published, case.told(figures), _settings(row.runs[0].settings), _time(figures))
        for row, figures in found
    ]
    missing = [row.what for row in case.rows if not _found(store, row)]
    picture = folder / f"results-{case.name}.png"
    PICTURES[case.name](found).savefig(picture, pil_kwargs={"optimize": True})
    return "\n".join(
        [
            f"## {case.title}",
            "",
            _filled(case.about),
            "",
            "| | published | measured here | settings | time |",
            "| --- | --- | --- | --- | --- |",
            *(f"| {' | '.join(cells)} |" for cells in table),
            "",
            *([f"Not measured yet: {'; '.join(missing)}.", ""] if missing else []),
            f"![{case.title}]({picture.name})",
            "",
        ]
    )


def _filled(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def _found(store: Store, row: Row) -> list[Figures]:
    """The figures of those runs of a row that were made."""
    return [figures for run in row.runs if (figures := store.find(run)) is not None]


def _settings(settings: dict[str, Any]) -> str:
    """What the runs of a row have in common and its first column does not say."""
    told = {"seed", "cell", "language", "task", "corpus", "size", "steps", "name"}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if name not in told)


def _time(found: list[Figures]) -> str:
    seconds = median(figures["seconds"] for figures in found)
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
