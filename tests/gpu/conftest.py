"""Tests of exported models on a GPU: on CUDA where a model runs on it, else the same code on the CPU.

At the end of a run the device is printed, how close the results were, and what fell back to the CPU on CUDA.
"""

import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.exported.device import find  # noqa: E402


@pytest.fixture(scope="session")
def device(request):
    """The device that --device names."""
    found = find(request.config.getoption("--device"))
    request.config.stash[FOUND] = found
    return found.name


FOUND = pytest.StashKey()


@pytest.fixture
def tell(record_property):
    """Takes for the report what was compared: its name, the difference, and what fell back."""
    return lambda name, difference, fallbacks: record_property("on_device", (name, difference, fallbacks))


def pytest_terminal_summary(terminalreporter, config):
    told = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == "on_device" and report.when == "call"
    ]
    if not told or FOUND not in config.stash:
        return
    found = config.stash[FOUND]
    terminalreporter.section("exported models on a device")
    terminalreporter.write_line(f"{found}: {len(told)} exports, largest difference {max(d for _, d, _ in told):.1e}")
    if found.name != "cuda":
        return
    where = {}
    for name, _, fallbacks in told:
        for operator in fallbacks:
            where.setdefault(operator, []).append(name)
    terminalreporter.write_line("fell back to the CPU: " + ("" if where else "nothing"))
    for operator, count in Counter({operator: len(names) for operator, names in where.items()}).most_common():
        terminalreporter.write_line(f"  {operator} in {count}: {', '.join(where[operator][:4])}{' ...' * (count > 4)}")
