"""Errors of a user's definition: raised with the user's line, whatever of this package lies between."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from ._core import Error

_PACKAGE = str(Path(__file__).parent)


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE)


def _user_frame() -> FrameType | None:
    """The innermost frame that is not of this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return frame


def where() -> str:
    """The user's line that is being run: ``file:line``."""
    frame = _user_frame()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "unknown place"


def error(kind: type[Error], message: str) -> Error:
    """An error of the user's definition, to be raised, with the line that is wrong."""
    frame = _user_frame()
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() if frame else ""
    return kind(f"{message}\n  at {where()}{f': {line}' if line else ''}")


def checked(call: Callable[..., Any], *arguments: Any) -> Any:
    """A call of the engine, whose errors come back with the user's line."""
    try:
        return call(*arguments)
    except Error as raised:
        raise error(type(raised), str(raised)) from None


def without_our_frames(raised: BaseException) -> BaseException:
    """The error with a traceback that ends at the user's line."""
    steps = []
    step = raised.__traceback__
    while step is not None:
        steps.append(step)
        step = step.tb_next
    while len(steps) > 1 and _is_ours(steps[-1].tb_frame):
        steps.pop()
    shortened: TracebackType | None = None
    for step in reversed(steps):
        shortened = TracebackType(shortened, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return raised.with_traceback(shortened)


def of_return(function: Callable[..., Any]) -> str:
    """Where a function returns, if in one place only, else where it begins: ``file:line``."""
    import ast
    import inspect
    import textwrap

    code = inspect.unwrap(function).__code__
    line = code.co_firstlineno
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, SyntaxError):
        return f"{code.co_filename}:{line}"
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    if len(returns) == 1:
        line += returns[0].lineno - 1
    return f"{code.co_filename}:{line}"
