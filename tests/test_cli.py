"""The command line at small sizes: demo, train, sample, info, and what it says when something is wrong."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import rnnrs
from children import child

TEXT = "The quick brown fox jumps over the lazy dog. " * 120
SMALL = ["--hidden", "16", "--embedding", "8", "--rows", "4", "--bptt", "16", "--updates", "30", "--seed", "1"]


def rnnrs_command(*arguments, folder=None, timeout=120, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "rnnrs", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


def good(*arguments, **options):
    done = rnnrs_command(*arguments, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "fox.txt").write_text(TEXT, encoding="utf-8")
    printed = good("train", folder / "fox.txt", *SMALL)
    return folder, printed


def test_train_says_what_it_did_and_saves(trained):
    folder, printed = trained
    assert "30 updates" in printed
    assert "characters/s" in printed
    bits = {name: float(value) for name, value in re.findall(r"(rnnrs|xz -9e|bzip2 -9) (\d+\.\d+)", printed)}
    assert set(bits) == {"rnnrs", "xz -9e", "bzip2 -9"}
    assert 0 < bits["rnnrs"] < 5
    assert (folder / "fox.safetensors").exists()


def test_training_with_a_seed_gives_the_same_file(trained, tmp_path):
    folder, _ = trained
    good("train", folder / "fox.txt", *SMALL, "--out", tmp_path / "again.safetensors", "--quiet")
    one, other = (rnnrs.load(p).state_dict() for p in (folder / "fox.safetensors", tmp_path / "again.safetensors"))
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize("options", [["--cell", "gru"], ["--cell", "rnn", "--layers", "2", "--dropout", "0.1"]])
def test_train_other_cells(trained, options, tmp_path):
    folder, _ = trained
    good("train", folder / "fox.txt", *SMALL, *options, "--out", tmp_path / "m", "--quiet", "--threads", "1")
    assert "F" not in good("sample", tmp_path / "m", "--length", "5", "--seed", "1")[:1]


def test_quiet_is_quiet(trained, tmp_path):
    folder, _ = trained
    done = rnnrs_command("train", folder / "fox.txt", *SMALL, "--out", tmp_path / "m", "--quiet")
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_picture(trained, tmp_path):
    pytest.importorskip("matplotlib")
    folder, _ = trained
    good("train", folder / "fox.txt", *SMALL, "--out", tmp_path / "m", "--plot", tmp_path / "m.png")
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_sample_goes_on_writing(trained):
    model = trained[0] / "fox.safetensors"
    one, same, other = (good("sample", model, "--start", "The ", "--length", 40, "--seed", s) for s in (1, 1, 2))
    assert one == same
    assert one != other
    assert one.startswith("The ")
    assert len(one.rstrip("\n")) == 44
    assert set(one) <= set(TEXT) | {"\n", "\ufffd"}
    assert good("sample", model, "--temperature", "0", "--seed", "1") == good("sample", model, "--temperature", "0")


def test_info_shows_the_model(trained):
    printed = good("info", trained[0] / "fox.safetensors")
    assert "Sequential" in printed
    assert re.search(r"lstm", printed, re.IGNORECASE)
    parameters = rnnrs.load(trained[0] / "fox.safetensors").num_parameters
    assert f"{parameters:,}" in printed or str(parameters) in printed
    assert len(good("info", trained[0] / "fox.safetensors", "--plan")) > len(printed) + 100


def test_info_shows_the_installation():
    printed = good("info")
    assert rnnrs.__version__ in printed
    assert rnnrs._core.simd() in printed
    assert all(cell in printed for cell in rnnrs._core.cells())


def test_help_teaches():
    printed = good("--help")
    for command in ("demo", "train", "sample", "export", "info"):
        assert command in printed
        assert "usage" in good(command, "--help")
    assert good("--version").strip() == f"rnnrs {rnnrs.__version__}"


def test_the_script_is_installed():
    from importlib.metadata import entry_points

    (script,) = (e for e in entry_points(group="console_scripts") if e.name == "rnnrs")
    from rnnrs import _cli

    assert script.load() is _cli.main


def test_the_demo_in_little(tmp_path):
    """All of it: text, training, figures, a sample, picture, model, loading, streaming the same bits."""
    printed = good("demo", "--out", tmp_path / "out", *SMALL, timeout=300)
    assert "the same bits" in printed
    assert "DIFFERENT" not in printed
    for name in ("rnnrs", "xz -9e", "bzip2 -9"):
        assert re.search(rf"{name}\s+\d+\.\d{{3}}", printed)
    assert "characters/s" in printed
    assert "sample" in printed
    assert (tmp_path / "out" / "demo.safetensors").exists()
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        assert "pip install rnnrs[plot]" in printed
    else:
        assert (tmp_path / "out" / "demo.png").read_bytes().startswith(b"\x89PNG")
    for name in ("demo.onnx", "demo-step.onnx"):
        assert (tmp_path / "out" / name).exists()
    [parity] = re.findall(r"Parity on held-out text: \|a - b\| <= (\S+) \(1 \+ \|b\|\)", printed)
    assert float(parity) <= 1e-5
    assert re.search(r"a character a call +[\d,]+ +[\d,]+\n", printed)


WRONG = {
    "no command": ([], 2),
    "an unknown command": (["fly"], 2),
    "an unknown option": (["info", "--colour"], 2),
    "no file": (["train", "none.txt"], 1),
    "a folder": (["train", "."], 1),
    "no text": (["train", "binary"], 1),
    "an empty text": (["train", "empty"], 1),
    "too short a text": (["train", "short"], 1),
    "an unknown encoding": (["train", "fox", "--encoding", "klingon"], 1),
    "no units": (["train", "fox", "--hidden", "0"], 2),
    "no number": (["train", "fox", "--hidden", "many"], 2),
    "a dropout out of range": (["train", "fox", "--dropout", "1.5"], 1),
    "an unknown cell": (["train", "fox", "--cell", "transformer"], 2),
    "nowhere to write": (["train", "fox", *SMALL, "--out", "none/model"], 1),
    "no model": (["sample", "fox"], 1),
    "a model without characters": (["sample", "numbers"], 1),
    "no such model": (["info", "none"], 1),
    "a temperature below zero": (["sample", "model", "--temperature", "-1"], 1),
    "a seed below zero": (["sample", "model", "--seed", "-1"], 1),
    "an empty start": (["sample", "model", "--start", ""], 1),
}


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "binary").write_bytes(bytes(range(128, 256)) * 10)
    (folder / "empty").write_bytes(b"")
    (folder / "short").write_text("short")
    (folder / "fox").write_text(TEXT)
    (folder / "model").write_bytes((trained[0] / "fox.safetensors").read_bytes())
    rnnrs.LSTM(2, 3).save(folder / "numbers")
    return folder


@pytest.mark.parametrize(("arguments", "status"), WRONG.values(), ids=WRONG)
def test_mistakes_are_told_in_a_line(arguments, status, folder):
    done = rnnrs_command(*arguments, folder=folder)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "panicked" not in done.stderr
    if status == 1:
        assert done.stderr.strip().splitlines()[-1].startswith("rnnrs: error: ")
    else:
        assert "usage" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_ctrl_c_ends_training_and_keeps_the_model(trained, tmp_path):
    arguments = ["train", trained[0] / "fox.txt", "--hidden", "16", "--rows", "4", "--updates", "10000000"]
    with child("-m", "rnnrs", *arguments, "--out", tmp_path / "m", "--quiet") as process:
        for line in process.stdout:
            if "updates" in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "interrupted" in out
    assert rnnrs.load(tmp_path / "m").num_parameters > 0
