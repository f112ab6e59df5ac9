"""A Python process beside the test, which heeds Ctrl-C and does not outlive it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _heed_ctrl_c():
    """A shell without job control makes what it runs in the background, and all children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def child(*arguments) -> Iterator[subprocess.Popen]:
    """Runs Python with these arguments; its pipes are closed and it is dead when the block ends."""
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_ctrl_c,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
