"""The table of what every cell becomes in ONNX: its runner runs, and its page says what is chosen today."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.exported import __main__ as runner  # noqa: E402
from benchmarks.exported.models import MODES, TARGETS, model, recurrence  # noqa: E402
from benchmarks.exported.table import Sizes  # noqa: E402
from configurations import CELLS  # noqa: E402

PAGE = (ROOT / "docs/onnx-table.md").read_text(encoding="utf-8")
ROWS = {cells[0]: cells[1:] for cells in (row.strip("| ").split(" | ") for row in PAGE.splitlines() if row[:1] == "|")}


def test_a_row_a_mode_and_graph(capsys):
    assert runner.main(["min_gru", "gru"], Sizes(3, 4, 2, 5, 0.0)) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    named = [c.name for c in CELLS if c.name.startswith(("min_gru", "gru"))]
    assert list(dict.fromkeys(row[0] for row in rows)) == named
    for name in named:
        of_one = [row for row in rows if row[0] == name]
        # For each mode each target stands in one row.
        assert sorted((row[1], t) for row in of_one for t in row if t in TARGETS) == sorted(
            (mode, target) for mode in MODES for target in TARGETS
        )
    assert (ROOT / "docs/onnx-table.md").read_text(encoding="utf-8") == PAGE


def test_an_unknown_cell_is_an_error(capsys):
    with pytest.raises(SystemExit):
        runner.main(["no such cell"])
    assert "no cell whose name begins with no such cell" in capsys.readouterr().err


def test_the_page_lists_every_cell():
    assert set(ROWS) - {"cell", "---"} == {c.name for c in CELLS}


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
def test_the_page_says_what_is_chosen(configuration, tmp_path):
    made = model(configuration, 3, 4)
    chosen = [recurrence(made.to_onnx(tmp_path / "m.onnx", target=target, verify=False)) for target in TARGETS]
    assert ROWS[configuration.name][:3] == chosen


@pytest.mark.parametrize("configuration", CELLS, ids=lambda c: c.name)
def test_the_page_keeps_law_9(configuration):
    assert all(float(parity) <= 1e-5 for parity in ROWS[configuration.name][3:6])
