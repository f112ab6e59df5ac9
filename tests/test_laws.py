"""The table of laws itself: what counts as a case, and that a hole in the table fails the run."""

import re
from types import SimpleNamespace

import pytest

import laws
from configurations import CHAINS, OPTIONS

FILE = """
import pytest
from hypothesis import assume, given, strategies as st
from configurations import CELLS, CHAINS

@pytest.mark.parametrize("configuration", [*CELLS, *CHAINS], ids=lambda c: c.name)
@given(number=st.integers(0, 99))
def test_drawn(configuration, number):
    assume(number % 2)
    assert configuration.name != "elman" or number < 0

@pytest.mark.parametrize("configuration", CELLS[:2], ids=lambda c: c.name)
def test_told(configuration):
    assert True

def test_many(passed_cases):
    passed_cases([type("Case", (), {"configuration": CELLS[1]})] * 5)
"""


@pytest.fixture
def table():
    option = SimpleNamespace(keyword="", markexpr="not torch")
    table = laws.Table(SimpleNamespace(args=["tests"], option=option, args_source=pytest.Config.ArgsSource.TESTPATHS))
    for law in laws.LAWS:
        table.laws.add(law)
        table.counts.update({(law, row): 6 for row in laws.ROWS if (row, law) not in laws.EXCEPT})
    return table


def status(table, before=pytest.ExitCode.OK):
    session = SimpleNamespace(exitstatus=before)
    table.pytest_sessionfinish(session, before)
    return session.exitstatus


def test_a_full_table_passes(table):
    assert table.missing() == []
    assert status(table) == pytest.ExitCode.OK


def test_a_hole_in_the_table_fails_the_run(table):
    del table.counts[7, "lstm"]
    assert table.missing() == [(7, "lstm")]
    assert status(table) == pytest.ExitCode.TESTS_FAILED


def test_a_law_of_which_no_test_ran_fails_the_run(table):
    for row in laws.ROWS:
        del table.counts[5, row]
    table.laws.remove(5)
    assert status(table) == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("asked", [{"keyword": "elman"}, {"markexpr": "slow"}])
def test_a_part_of_the_tests_may_have_holes(table, asked):
    del table.counts[7, "lstm"]
    vars(table.config.option).update(asked)
    assert status(table) == pytest.ExitCode.OK


def test_some_files_answer_for_their_own_laws(table):
    table.config.args_source = pytest.Config.ArgsSource.ARGS
    table.counts = type(table.counts)({key: n for key, n in table.counts.items() if key[0] == 2})
    table.laws = {2}
    assert status(table) == pytest.ExitCode.OK
    del table.counts[2, "gru"]
    assert status(table) == pytest.ExitCode.TESTS_FAILED


def test_cases_are_the_examples_that_passed(tmp_path, run_script):
    """A run of its own: examples that were refused or that failed do not count, the others do, once each."""
    (tmp_path / "test_law_02_invented.py").write_text(FILE)
    options = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-p", "conftest", "--rootdir", str(tmp_path)]
    printed = run_script(f"import pytest; pytest.main({[*options, str(tmp_path)]})", folder=tmp_path)
    assert "1 failed" in printed
    counts = dict(re.findall(r"^(\w+|\(chains\)) +0 +(\d+) ", printed, re.MULTILINE))
    examples = {cell: 6 * len(some) for cell, some in OPTIONS.items()} | {laws.CHAIN: 6 * len(CHAINS)}
    examples["elman"] += -6 + 2 + 5  # one configuration failed, two are told, five were compared at once
    assert {row: int(n) for row, n in counts.items()} == examples
