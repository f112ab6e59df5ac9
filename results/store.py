"""What was measured, in docs/results.json: a run that is there with the same settings is not run again."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "docs" / "results.json"
UNFINISHED = ROOT / "target" / "results"  # where runs that are cut leave off

Figures = dict[str, Any]


class Run(NamedTuple):
    """One training of an example: its function `train` with these arguments."""

    name: str
    example: str
    settings: dict[str, Any]


class Store:
    """The file of figures. It is replaced whole after each run, so a run that is killed costs no other."""

    def __init__(self, path: Path = MEASURED) -> None:
        self._path = path

    def _read(self) -> dict[str, Any]:
        runs: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
        return runs

    def find(self, run: Run) -> Figures | None:
        """The figures of a run, if it was made with these settings."""
        found = self._read().get(run.name)
        if found is None or found["settings"] != run.settings:
            return None
        figures: Figures = found["figures"]
        return figures

    def measure(self, run: Run) -> Figures:
        """The figures of a run, which is made now if it is not there."""
        return self._make(run) if (figures := self.find(run)) is None else figures

    def _make(self, run: Run) -> Figures:
        print(f"{run.name}: {', '.join(f'{name}={value}' for name, value in run.settings.items())}", flush=True)
        unfinished = self._unfinished(run)
        figures: Figures = example(run.example).train(**run.settings, path=unfinished / "checkpoint")
        self._write(self._read() | {run.name: {"settings": run.settings, "figures": figures}})
        (unfinished / "checkpoint").unlink(missing_ok=True)
        print({name: value for name, value in figures.items() if not isinstance(value, (list, dict))}, flush=True)
        return figures

    @staticmethod
    def _unfinished(run: Run) -> Path:
        """The folder of a run that is being made; emptied where it was begun with other settings."""
        folder = UNFINISHED / run.name.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        settings, text = folder / "settings.json", json.dumps(run.settings)
        if not settings.exists() or settings.read_text(encoding="utf-8") != text:
            (folder / "checkpoint").unlink(missing_ok=True)
            settings.write_text(text, encoding="utf-8")
        return folder

    def _write(self, runs: dict[str, Any]) -> None:
        lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(runs.items())]
        beside = self._path.with_suffix(".part")
        beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        beside.replace(self._path)


def example(name: str) -> Any:
    """The module of an example, whose name begins with a number."""
    folder = str(ROOT / "examples")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)
