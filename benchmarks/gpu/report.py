"""Says what was measured on a GPU: lines for the terminal and docs/gpu.md, which claims nothing where none was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .cases import Case

_HEAD = """# GPUs

Models exported with `target="cuda"` run on NVIDIA's cards under onnxruntime-gpu: `rnnrs_onnx.Session(path, "cuda")`
keeps states in the card's memory from call to call, raises where the card is not used, and lists with `fallbacks(x)`
what onnxruntime gave to the CPU all the same.

```text
make gpu-test     # every cell in every mode against the engine, and what fell back to the CPU
make gpu-bench    # times against torch on the same card; writes this page
```

Both want onnxruntime-gpu and CUDA's libraries in the environment: `.venv/bin/pip uninstall onnxruntime`, then
`.venv/bin/pip install onnxruntime-gpu`. With `DEVICE=cuda` they fail where no card is used; else they then run the same
code on the CPU and say so. float32 is float32: both set `NVIDIA_TF32_OVERRIDE=0`, without which NVIDIA's libraries
multiply with 10 bits of mantissa on cards from Ampere on.
"""
_NONE = """
## Figures

There are none. No GPU was at hand when this was written: parity, fallbacks and speed on a card have not been measured,
and nothing is claimed of them. What `target="cuda"` chooses rests on which operators have CUDA kernels according to
onnxruntime's documentation and source, and doubling for linear recurrences on reasoning alone.
"""


@dataclass(frozen=True)
class Measurement:
    """Seconds of each repeat; `difference` is the largest from the engine, relative in the norm."""

    case: Case
    onnxruntime: list[float]
    torch: list[float] | None
    difference: float
    fallbacks: dict[str, int] | None
    """None where it did not run on a GPU."""

    @property
    def ratio(self) -> float | None:
        """How many times as fast as torch onnxruntime is, by the medians."""
        return None if self.torch is None else median(self.torch) / median(self.onnxruntime)


def line(m: Measurement) -> str:
    """One measurement for the terminal."""
    against = "" if m.torch is None else f"   torch {_ms(m.torch):>18} ms   {m.ratio:6.2f} times as fast"
    return (
        f"{m.case.name:20} {_size(m):17} {m.case.operator:9} {_ms(m.onnxruntime):>18} ms{against}   "
        f"difference {m.difference:.0e}{'' if m.fallbacks is None else f'   fell back: {_fallbacks(m)}'}"
    )


def page(measurements: Sequence[Measurement], card: str, host: str, versions: dict[str, str]) -> str:
    """The text of docs/gpu.md; without measurements it claims nothing."""
    if not measurements:
        return _HEAD + _NONE
    rows = [
        f"| {m.case.name} | {_size(m)} | {m.case.operator} | {_ms(m.onnxruntime)} "
        f"| {'' if m.torch is None else _ms(m.torch)} | {'' if m.ratio is None else f'{m.ratio:.2f}'} "
        f"| {m.difference:.0e} | {_fallbacks(m)} |"
        for m in measurements
    ]
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        _HEAD,
        "## Figures",
        "",
        f"Card: {card}. Host: {host}. Versions: {used}.",
        "",
        "Forward, float32; input and output lie in the card's memory. Times are milliseconds, median (minimum), in",
        "turns, call by call, after the results had been compared with the engine's. torch's LSTM and GRU are cuDNN's,",
        "its others plain loops over time. The ratio says how many times as fast as torch onnxruntime is.",
        *([] if "torch" in versions else ["torch was not installed."]),
        "",
        "| cell | size | operator | onnxruntime | torch | ratio | difference | fell back to the CPU |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]
    return "\n".join(lines)


def _size(m: Measurement) -> str:
    problem = m.case.problem
    return f"B{problem.batch} T{problem.steps} H{problem.hidden}"


def _ms(seconds: Sequence[float]) -> str:
    return f"{1e3 * median(seconds):.2f} ({1e3 * min(seconds):.2f})"


def _fallbacks(m: Measurement) -> str:
    return ", ".join(f"{count} {operator}" for operator, count in (m.fallbacks or {}).items()) or "nothing"
