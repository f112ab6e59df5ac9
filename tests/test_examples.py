"""Every example runs, at its smallest size, where its data are (the folder RNNRS_DATA, or ../shared/data)."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


def test_examples_are_numbered():
    assert [path.name[:2] for path in EXAMPLES] == [f"{k + 1:02d}" for k in range(len(EXAMPLES))]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example(path, run_script, tmp_path):
    folder = Path(os.environ.get("RNNRS_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        assert "CI" not in os.environ, f"no data at {folder}: name their folder in RNNRS_DATA"
        pytest.skip("no data: name their folder in RNNRS_DATA")
    size = "--epochs" if '"--epochs"' in path.read_text(encoding="utf-8") else "--updates"
    printed = run_script(path, size, 2, environment={"RNNRS_DATA": str(folder)}, timeout=120, folder=tmp_path)
    assert printed.strip()
    assert "other bits" not in printed
