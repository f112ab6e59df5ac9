"""Every example runs, at its smallest size, where its data are (the folder RNNRS_DATA, or ../shared/data).

What it trained last is exported for CUDA by the command line.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUN = """
import runpy, sys, rnnrs
made = []
begin = rnnrs.Sequential.__init__
def remembered(self, *layers, **options):
    begin(self, *layers, **options)
    made.append(self)
rnnrs.Sequential.__init__ = remembered
sys.path.insert(0, {folder!r})
sys.argv = [{path!r}, {size!r}, "2"]
runpy.run_path({path!r}, run_name="__main__")
made[-1].save("model.safetensors")
"""
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
    run = RUN.format(folder=str(path.parent), path=str(path), size=size)
    printed = run_script(run, environment={"RNNRS_DATA": str(folder)}, timeout=120, folder=tmp_path)
    assert printed.strip()
    assert "other bits" not in printed
    command = [sys.executable, "-m", "rnnrs", "export", "model.safetensors", "model.onnx", "--target", "cuda"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "differs from the engine by" in done.stdout
