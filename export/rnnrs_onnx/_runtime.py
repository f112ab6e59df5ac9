"""Sessions of onnxruntime, and what must be known of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CRASHES = "FuseFp16InitializerToFp32NodeTransformer"
"""An optimisation for float16 on CPUs that brings the process down where a weight is used in the body of a loop and the
graph around it begins with a Transpose (seen with onnxruntime 1.31)."""


def open_session(
    runtime: Any, path: Path, providers: list[str], *, threads: int | None = None, profile: Path | None = None
) -> Any:
    """A session that says errors alone, with `threads` within an operator, and where asked for a profile."""
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return runtime.InferenceSession(str(path), options, providers=providers, disabled_optimizers=[CRASHES])
