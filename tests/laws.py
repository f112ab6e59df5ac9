"""The table of laws: for every cell and every law how many cases passed, printed at the end of a run.

A case is one example that hypothesis drew, or one comparison of a test that draws none. A test belongs to the law that
its file is named after, and to the cell of its `configuration`; one that compares many cases at once hands them to the
fixture `passed_cases`. A cell without a case under a law fails the run, unless only a part of the tests was asked for.
"""

import re
from collections import Counter

import pytest

from configurations import CELLS, Chain

LAWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
CHAIN = "(chains)"
ROWS = [*dict.fromkeys(c.cell for c in CELLS), CHAIN]
# Where a law does not apply, and why.
EXCEPT = {(CHAIN, 6): "a chain of layers has no direction of its own; its recurrent layers have, and keep law 6"}


def law_of(nodeid):
    """The number of the law that a test is of, from the name of its file."""
    found = re.search(r"test_law_(\d+)_", nodeid)
    return int(found.group(1)) if found else None


def row_of(configuration):
    return CHAIN if isinstance(configuration, Chain) else configuration.cell


class Table:
    """The plugin: counts where the tests run, adds up where the report is written, also if these are two processes."""

    def __init__(self, config):
        self.config = config
        self.counts = Counter()  # (law, row) -> cases, of the whole run
        self.laws = set()  # those of which a test ran
        self.current = Counter()  # row -> cases, of the test that runs

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        self.current.clear()
        if law_of(item.nodeid) is None:
            return
        configuration = getattr(item, "callspec", None) and item.callspec.params.get("configuration")
        handle = getattr(item.obj, "hypothesis", None)
        if handle is None:
            if configuration is not None:
                self.current[row_of(configuration)] += 1
        elif not hasattr(handle.inner_test, "counts"):
            handle.inner_test = self.counting(handle.inner_test)

    def counting(self, test):
        """The function that hypothesis calls for each example: it returns if the example passed."""

        def counted(*arguments, **named):
            test(*arguments, **named)
            if "configuration" in named:
                self.current[row_of(named["configuration"])] += 1

        counted.counts = True
        return counted

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if report.when == "call" and report.passed and self.current:
            report.user_properties.append(("cases", dict(self.current)))
        return report

    def pytest_runtest_logreport(self, report):
        law = law_of(report.nodeid)
        if law is None or report.when != "call":
            return
        self.laws.add(law)
        for row, cases in dict(report.user_properties).get("cases", {}).items():
            self.counts[law, row] += cases

    @property
    def whole(self):
        """Whether every test of the files that ran was asked for."""
        option = self.config.option
        parts = any("::" in str(argument) for argument in self.config.args)
        return not (parts or option.keyword or option.markexpr not in ("", "not torch") or getattr(option, "lf", False))

    def missing(self):
        """The (law, row) that have no case, although all tests ran."""
        everything = self.config.args_source is pytest.Config.ArgsSource.TESTPATHS
        laws = LAWS if everything else sorted(self.laws)
        return [(law, row) for law in laws for row in ROWS if not self.counts[law, row] and (row, law) not in EXCEPT]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        if exitstatus == pytest.ExitCode.OK and self.laws and self.whole and self.missing():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.fixture
    def passed_cases(self):
        """Takes the cases that a test has compared many of at once."""
        return lambda cases: self.current.update(row_of(case.configuration) for case in cases)

    def pytest_terminal_summary(self, terminalreporter):
        if not self.counts:
            return
        write = terminalreporter.write_line
        terminalreporter.section("cases that passed, by cell and law")
        rows = [row for row in ROWS if any(self.counts[law, row] for law in LAWS)]
        width = max(len(row) for row in rows)
        write(" " * width + "".join(f"{f'law {law}':>8}" for law in LAWS))
        for row in rows:
            cells = ("-" if (row, law) in EXCEPT else self.counts[law, row] for law in LAWS)
            write(row.ljust(width) + "".join(f"{cell:>8}" for cell in cells))
        for (row, law), reason in EXCEPT.items():
            if row in rows:
                write(f"- law {law}, {row}: {reason}")
        if self.whole:
            for law, row in self.missing():
                write(f"law {law} has no case of {row}", red=True)
