"""Settings of the whole suite: where the tests' own modules are found, and how long hypothesis looks.

The default profile is quick; `--hypothesis-profile=full` looks at length (make test-full). Tests that take minutes are
marked slow and run only there.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "torch_parity")]

import laws  # noqa: E402 - found by the path above

common = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    # How a failure came about is plain from the case that is printed, and explaining costs many runs.
    "phases": [phase for phase in Phase if phase is not Phase.explain],
}
settings.register_profile("quick", max_examples=6, derandomize=True, database=None, **common)
settings.register_profile("full", max_examples=100, print_blob=True, **common)
settings.load_profile("quick")


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where tests/gpu runs; auto: CUDA where it works",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; runs with --hypothesis-profile=full (make test-full)")
    config.pluginmanager.register(laws.Table(config), "laws")


def full(config):
    return config.getoption("--hypothesis-profile") == "full"


def pytest_collection_modifyitems(config, items):
    if not full(config):
        skip = pytest.mark.skip(reason="slow: runs with --hypothesis-profile=full")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def at_length(request):
    """Whether this is the full run."""
    return full(request.config)


@pytest.fixture
def run_script():
    """Runs Python in a process of its own, with a time limit; returns what it printed."""
    import subprocess

    def run(code_or_path, *arguments, environment=None, timeout=120, check=True, folder=None):
        command = [sys.executable, *(["-c", code_or_path] if isinstance(code_or_path, str) else [str(code_or_path)])]
        done = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(HERE)} | (environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if check else done

    return run
