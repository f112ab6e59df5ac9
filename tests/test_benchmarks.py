"""The benchmark's own parts: its table, the comparison of results, turns, verdicts and the page."""

import ast
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rnnrs

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import measure, report  # noqa: E402
from benchmarks.cases import CASES  # noqa: E402
from benchmarks.problem import Problem  # noqa: E402

BY_NAME = {case.name: case for case in CASES}


@pytest.fixture
def as_before():
    """Threads, and the processors of this process, are given back."""
    processors, threads = os.sched_getaffinity(0), rnnrs.get_num_threads()
    yield
    os.sched_setaffinity(0, processors)
    rnnrs.set_num_threads(threads)


def functions(peer):
    tree = ast.parse((ROOT / f"benchmarks/peers/with_{peer}.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_case_names_functions_that_are_there():
    assert len(BY_NAME) == len(CASES)
    ours = functions("rnnrs")
    for case in CASES:
        assert case.our_kind in ours, case.name
        for peer in case.peers:
            assert {"setup", case.kind} <= functions(peer), f"{case.name}, {peer}"
        assert {peer for peer, _ in case.goals} <= set(case.peers)


# Those that compare rnnrs with itself, on networks of a few units.
@pytest.mark.parametrize("name", [case.name for case in CASES if case.peers == ("rnnrs",)])
def test_what_is_timed_runs_and_agrees(name, as_before):
    problem = replace(BY_NAME[name].problem, inputs=8, hidden=8, batch=min(BY_NAME[name].problem.batch, 4), steps=20)
    case = replace(BY_NAME[name], problem=problem)
    mine = measure.importlib.import_module("benchmarks.peers.with_rnnrs")
    ours, theirs = getattr(mine, case.our_kind)(problem), getattr(mine, case.kind)(problem)
    ours.run()
    theirs.run()
    a, b = ours.results(), theirs.results()
    if a.keys() == b.keys():
        assert measure.compare(a, b, case.tolerance) <= case.tolerance
    assert ours.scale > 0
    assert theirs.scale > 0


def test_a_pair_is_measured(as_before, monkeypatch):
    monkeypatch.setattr(measure, "_SECONDS", 0.01)
    case = replace(BY_NAME["own-cell"], problem=Problem("lstm", 8, 8, 4, 20))
    found = measure.measure(case, "rnnrs", 1)
    assert len(found.ours) == len(found.theirs) >= 7
    assert found.difference <= case.tolerance
    assert 0 < found.products < 1
    assert found.ratio == np.median(found.theirs) / np.median(found.ours)


def test_other_results_are_told():
    a = {"y": np.ones(9, np.float32)}
    assert measure.compare(a, {"y": np.ones(9, np.float32) * 1.0005}, 1e-3) < 1e-3
    with pytest.raises(AssertionError, match=r"y: results differ by 2.0e-03"):
        measure.compare({"y": np.ones(9, np.float32) * 1.002}, a, 1e-3)
    with pytest.raises(AssertionError, match="other names"):
        measure.compare(a, {"dx": a["y"]}, 1e-3)
    with pytest.raises(AssertionError, match="shape"):
        measure.compare(a, {"y": np.ones((3, 3), np.float32)}, 1e-3)


def test_calls_take_turns():
    order = []
    calls = [lambda name=name: order.append(name) for name in "ab"]
    times = measure.in_turns(*calls, seconds=0, pause=0, repeats=(3, 3))
    assert [len(of_one) for of_one in times] == [3, 3]
    # Once to see how long it takes, then a warm call and a timed one each turn.
    assert "".join(order) == "ab" + 3 * "aabb"


def measurement(name, peer, ours, theirs):
    return measure.Measurement(name, peer, 2, "1.0", [ours], [theirs], 0.0)


def test_verdicts_and_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "DOCS", tmp_path)
    rows = [
        (measurement("train-lstm-h128", "torch", 0.010, 0.0130), True),
        (measurement("train-lstm-h128", "torch", 0.010, 0.0120), False),
        (measurement("block-h32", "rnnrs", 0.23e-3, 1e-3), True),
        (measurement("block-h32", "rnnrs", 0.25e-3, 1e-3), False),
        (measurement("bfloat16-h512", "rnnrs", 0.010, 0.0120), None),
    ]
    assert [report.reached(row) for row, _ in rows] == [verdict for _, verdict in rows]
    path = report.write([row for row, _ in rows], {"jax": "not installed"}, "a machine", "A package.")
    text = path.read_text()
    assert "2 of the 4 rows with a goal miss it" in text
    assert (
        "| train-lstm-h128 | lstm I128 H128 B32 T100 | 2 | 10.00 (10.00) | torch | 13.00 (13.00) | 1.30 | 1.25 |"
        in text
    )
    assert "Not measured: jax (not installed)." in text
    assert "0.25 µs a step, at most 0.24 (missed)" in text
    assert (tmp_path / "benchmarks.png").stat().st_size > 1000
