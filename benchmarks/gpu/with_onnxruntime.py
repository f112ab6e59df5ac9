"""An exported layer under onnxruntime, with its input and its output in the memory of the device."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

import rnnrs
from rnnrs_onnx import Session

from ..problem import Contender
from .cases import Case

VERSION = onnxruntime.__version__
_PROVIDERS = {"cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"], "cpu": ["CPUExecutionProvider"]}


def forward(case: Case, layer: rnnrs.Recurrent, device: str, folder: Path) -> tuple[Contender, dict[str, int] | None]:
    """The contender, and on a GPU the operators that fell back to the CPU."""
    path = folder / f"{case.operator}.onnx"
    report = layer.to_onnx(path, target="cuda", zero_state=True, scan=case.scan, verify=False)
    [(_, _, form, _)] = report.forms
    assert form == case.operator, f"{case.name}: expected {case.operator}, got {form}"
    # It raises where the device is not used.
    fallbacks = Session(path, device).fallbacks(case.problem.x) if device == "cuda" else None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=_PROVIDERS[device])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(case.problem.x, device, 0))
    for output in report.outputs:
        binding.bind_output(output, device)

    def run() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return Contender(run, lambda: {"y": binding.get_outputs()[0].numpy()}), fallbacks
