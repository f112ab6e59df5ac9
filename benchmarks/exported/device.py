"""Where exported models run: on a GPU where onnxruntime finds one, else on the CPU, and why."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import rnnrs
from rnnrs_onnx import Session

# NVIDIA's libraries otherwise multiply float32 with 10 bits of mantissa on cards from Ampere on.
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")


@dataclass(frozen=True)
class Device:
    """A device of `rnnrs_onnx.Session`."""

    name: str
    """ "cpu" or "cuda"."""
    about: str
    """The card's name, or why there is none."""

    def __str__(self) -> str:
        return f"{self.name} ({self.about})"


def find(wanted: str = "auto") -> Device:
    """The device to use: "cpu", "cuda", or "auto" for CUDA where a model runs on it.

    Raises UnsupportedError where CUDA is wanted and is not there.
    """
    if wanted == "cpu":
        return Device("cpu", "as asked for")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        rnnrs.GRU(1, 1, seed=0).to_onnx(path, target="cuda", verify=False)
        try:
            Session(path, "cuda")
        except rnnrs.UnsupportedError as error:
            if wanted == "cuda":
                raise
            return Device("cpu", str(error))
    return Device("cuda", card())


def card() -> str:
    """The name of CUDA's first card, from the driver."""
    driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    name, number = ctypes.create_string_buffer(256), ctypes.c_int()
    for status in (
        driver.cuInit(0),
        driver.cuDeviceGet(ctypes.byref(number), 0),
        driver.cuDeviceGetName(name, len(name), number),
    ):
        if status:
            raise OSError(f"CUDA's driver: expected the name of the first card, got error {status}")
    return name.value.decode()
