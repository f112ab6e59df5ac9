"""Progress on long work: loss and speed, through tqdm where it is installed and as plain lines where it is not."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

_LINE_EVERY = 5.0  # seconds


class Progress:
    """How far some work is; ``total`` counts updates, None where it is not known."""

    def __init__(self, total: int | None, label: str, *, enabled: bool = True, done: int = 0) -> None:
        self._total = total
        self._label = label
        self._done = done
        self._steps = 0
        self._loss: float | None = None
        self._began = self._line = time.perf_counter()
        self._lined = done
        self._bar: Any = None
        self._enabled = enabled
        if enabled:
            self._bar = self._open_bar()

    def _open_bar(self) -> Any:
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        # Where the output is no terminal each refresh is one more line in a log.
        pause = 0.1 if sys.stderr.isatty() else _LINE_EVERY
        return tqdm(total=self._total, initial=self._done, desc=self._label, unit="update", mininterval=pause)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def label(self, text: str) -> None:
        """What is being done now."""
        self._label = text
        if self._bar is not None:
            self._bar.set_description(text, refresh=False)

    def advance(self, loss: float | None, steps: int) -> None:
        """One update more, with the loss as it now is and the time steps that it took in."""
        self._done += 1
        self._steps += steps
        self._loss = loss
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures(), refresh=False)
            self._bar.update(1)
        elif self._enabled and time.perf_counter() - self._line >= _LINE_EVERY:
            self._print()

    def close(self) -> None:
        """The last word."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        elif self._enabled and self._done > self._lined:
            self._print()

    def _figures(self) -> str:
        seconds = max(time.perf_counter() - self._began, 1e-9)
        speed = f"{self._steps / seconds:,.0f} steps/s"
        return speed if self._loss is None else f"loss {self._loss:.4f}, {speed}"

    def _print(self) -> None:
        total = "" if self._total is None else f"/{self._total}"
        print(f"{self._label}: {self._done}{total} updates, {self._figures()}", file=sys.stderr, flush=True)
        self._line = time.perf_counter()
        self._lined = self._done
