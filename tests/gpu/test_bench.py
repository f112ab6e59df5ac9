"""The benchmark of GPUs runs, on the CPU too, and its page claims what was measured and no more."""

import pytest

from benchmarks.gpu import __main__ as bench
from benchmarks.gpu.cases import CASES, QUICK
from benchmarks.gpu.report import Measurement, page
from benchmarks.report import DOCS

WRITTEN = (DOCS / "gpu.md").read_text(encoding="utf-8")


def test_every_case_runs(device, capsys):
    assert bench.main(["--quick", "--device", device]) == 0
    printed = capsys.readouterr().out
    assert f"device: {device}" in printed
    for case in QUICK:
        assert f"\n{case.name}" in printed
    assert (DOCS / "gpu.md").read_text(encoding="utf-8") == WRITTEN


def test_every_form_of_a_recurrence_is_timed():
    assert {"LSTM", "GRU", "Scan", "parallel"} == {case.operator for case in CASES}
    assert [case.name for case in QUICK] == list(dict.fromkeys(case.name for case in CASES))


def test_a_card_is_named_with_its_figures():
    done = [Measurement(case, [2e-3, 1e-3, 4e-3], [4e-3], 1e-7, {"Where": 3}) for case in CASES]
    text = page(done, "A Card", "a host", {"onnxruntime": "1.0", "torch": "2.0"})
    assert "Card: A Card. Host: a host." in text
    assert text.count("| 2.00 (1.00) | 4.00 (4.00) | 2.00 | 1e-07 | 3 Where |") == len(CASES)


@pytest.mark.parametrize("torch", [None, [1e-3]])
def test_without_torch_the_page_says_so(torch):
    versions = {"onnxruntime": "1.0"} | ({} if torch is None else {"torch": "2.0"})
    text = page([Measurement(CASES[0], [1e-3], torch, 0.0, {})], "A Card", "a host", versions)
    assert ("torch was not installed" in text) == (torch is None)
    assert "| nothing |" in text


def test_the_page_is_the_benchmarks_own():
    """Either it names a card, or it is the page that claims nothing."""
    head = page([], "", "", {}).partition("\n## Figures")[0]
    assert WRITTEN.startswith(head)
    assert "\nCard: " in WRITTEN or page([], "", "", {}) == WRITTEN
