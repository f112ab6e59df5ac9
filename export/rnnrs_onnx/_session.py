"""`Session`: an exported model under onnxruntime, with its state carried from call to call."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnrs import DtypeError, Error, FileError, InvalidValueError, ShapeError, UnsupportedError

from . import _runtime

Array = NDArray[Any]
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
}


class Session:
    """A thin layer over onnxruntime for models exported by rnnrs.

    Args:
        path: the file.
        device: "cpu" or "cuda".
        threads: of onnxruntime within an operator; None takes its default.

    The state is carried: each call begins where the last one ended, until ``reset()``. On "cuda" states stay in the
    GPU's memory from call to call, and only x and y cross.

    Raises:
        UnsupportedError: onnxruntime is not installed, or has no such device: there is no silent run on the CPU.
        FileError: no file, or none of rnnrs's exports.

    >>> session = Session("model.onnx")  # doctest: +SKIP
    >>> y = session(x)  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str], device: str = "cpu", *, threads: int | None = None) -> None:
        if device not in _PROVIDERS:
            raise InvalidValueError(f"device: expected 'cpu' or 'cuda', got {device!r}")
        self._path, self.device, self._threads = Path(path), device, threads
        if not self._path.is_file():
            raise FileNotFoundError(f"expected an ONNX file, got no file {str(path)!r}")
        self._runtime = _onnxruntime(device)
        self._session = self._open(profile=None)
        properties = self._session.get_modelmeta().custom_metadata_map
        if "rnnrs.export" not in properties:
            raise FileError(f"{self._path.name}: expected a file exported by rnnrs, got another (see rnnrs_onnx.load)")
        self.options: dict[str, Any] = json.loads(properties["rnnrs.export"])
        """How it was exported: mode, target, dtype and so on."""
        self.mode: str = self.options["mode"]
        self._inputs = {value.name: value for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._names = [name.removesuffix("_next") for name in self._outputs if name.endswith("_next")]
        self._carried = bool(self._names) and all(name in self._inputs for name in self._names)
        # On a CPU there is nothing to keep from crossing, and binding costs half a small step again.
        self._bind = device != "cpu"
        self._state: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Session({str(self._path)!r}, device={self.device!r}), mode {self.mode!r}"

    def __call__(self, x: Any, lengths: Any = None, noise: Mapping[str, Any] | None = None) -> Array:
        """The outputs for a sequence (mode "sequence") or a step (mode "step"), from the state so far.

        Args:
            x: as the model was exported: ``session.inputs["x"]``.
            lengths: (B,) valid steps of each row, where the model was exported with ``lengths=True``.
            noise: random numbers by the names of their inputs, where it was exported with ``noise=True``.
        """
        if self.mode == "loop":
            raise UnsupportedError("expected generate(...) of a model that was exported with mode='loop', got a call")
        feeds = {"x": x, **(noise or {})}
        if lengths is not None:
            feeds["lengths"] = lengths
        return self._run(feeds, "x")

    def generate(self, start: Any, steps: int, temperature: float = 1.0, *, seed: int | None = None) -> Array:
        """Continues from a token or a value, feeding outputs back, from the state so far: (B, steps, ...).

        Args:
            start: (B,) tokens, or (B, F).
            steps: how many to add.
            temperature: tokens are drawn from softmax(y / temperature), which must be above 0; to take the likeliest
                export with ``sample="argmax"``.
            seed: of the draws; None draws from the system.
        """
        if self.mode != "loop":
            raise UnsupportedError(f"expected a model that was exported with mode='loop', got mode {self.mode!r}")
        if int(steps) < 1:
            raise InvalidValueError(f"steps: expected at least 1, got {steps}")
        feeds: dict[str, Any] = {"start": start, "steps": np.asarray(steps, np.int64)}
        if "temperature" in self._inputs:
            if not temperature > 0:
                raise InvalidValueError(f"temperature: expected a number above 0, got {temperature}")
            feeds["temperature"] = temperature
            rows = np.asarray(start).shape[0]
            feeds["noise.sample"] = np.random.default_rng(seed).random((steps, rows))
        elif temperature != 1.0 or seed is not None:
            raise InvalidValueError("temperature, seed: expected to be left out of a model that draws nothing")
        return self._run(feeds, "start")

    @property
    def state(self) -> dict[str, Array]:
        """The state by its names, as NumPy arrays; empty before the first call, when it is zero."""
        return {name: _numpy(value) for name, value in self._state.items()}

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        if set(value) != set(self._names):
            raise InvalidValueError(f"state: expected {', '.join(self._names)}, got {', '.join(value) or 'none'}")
        self._needs_state()
        self._state = {name: self._array(name, part) for name, part in value.items()}

    def reset(self) -> None:
        """Sets the state to zero."""
        self._state = {}

    def _needs_state(self) -> None:
        if not self._carried:
            raise UnsupportedError("state: expected a model with states as inputs, got one exported with zero_state")

    @property
    def inputs(self) -> dict[str, tuple[str, tuple[int | str, ...]]]:
        """(dtype, shape) of each input; dimensions that may vary have names."""
        return {name: (_DTYPES[value.type], tuple(value.shape)) for name, value in self._inputs.items()}

    def placement(
        self, x: Any, lengths: Any = None, noise: Mapping[str, Any] | None = None
    ) -> dict[str, dict[str, int]]:
        """On which provider each operator ran: {provider: {operator: times}} for one call, which leaves no trace.

        onnxruntime gives nodes that CUDA lacks to the CPU in silence; this tells which.
        """
        found: dict[str, Counter[str]] = {}
        for event in self._events(x, lengths, noise):
            found.setdefault(event["provider"], Counter())[event["op_name"]] += 1
        return {provider: dict(sorted(counts.items())) for provider, counts in sorted(found.items())}

    def fallbacks(self, x: Any, lengths: Any = None, noise: Mapping[str, Any] | None = None) -> dict[str, int]:
        """The operators that ran on the CPU although "cuda" was asked for, and how often in one call.

        Only those that compute with floating-point numbers: operators on shapes and lengths belong on the CPU, where a
        copy to the GPU and back would cost more than they do.
        """
        if self.device == "cpu":
            return {}
        found: Counter[str] = Counter()
        for event in self._events(x, lengths, noise):
            if event["provider"] == _PROVIDERS["cpu"] and event["op_name"] != "Shape" and _computes(event):
                found[event["op_name"]] += 1
        return dict(sorted(found.items()))

    def _events(self, x: Any, lengths: Any, noise: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """What onnxruntime's profile of one call says of each node that ran."""
        first = "start" if self.mode == "loop" else "x"
        feeds = {first: x, **(noise or {})}
        if lengths is not None:
            feeds["lengths"] = lengths
        if self.mode == "loop":
            rows = np.asarray(x).shape[0]
            feeds |= {"steps": np.asarray(2, np.int64)}
            if "temperature" in self._inputs:
                feeds |= {"temperature": 1.0, "noise.sample": np.full((2, rows), 0.5)}
        arrays = {name: _numpy(value) for name, value in self._feeds(feeds, first).items()}
        with tempfile.TemporaryDirectory() as folder:
            profiled = self._open(profile=Path(folder) / "profile")
            self._call(profiled.run, None, arrays)
            events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
        return [
            event["args"]
            for event in events
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and "provider" in event["args"]
        ]

    def _open(self, *, profile: Path | None) -> Any:
        providers = [_PROVIDERS[self.device], *([_PROVIDERS["cpu"]] if self.device != "cpu" else [])]
        try:
            session = _runtime.open_session(
                self._runtime, self._path, providers, threads=self._threads, profile=profile
            )
        except Exception as error:
            if type(error).__module__.startswith("onnxruntime"):
                raise FileError(
                    f"{self._path.name}: expected a model that onnxruntime can run, got: {error}"
                ) from error
            raise
        if providers[0] not in session.get_providers():
            raise UnsupportedError(
                f"device: expected onnxruntime to run on {self.device!r}, got {', '.join(session.get_providers())}: "
                "its libraries could not be loaded"
            )
        return session

    def _run(self, feeds: dict[str, Any], first: str) -> Array:
        arrays = self._feeds(feeds, first)
        made = (self._bound if self._bind else self._plain)(arrays)
        if self._carried:
            self._state = {name: made[f"{name}_next"] for name in self._names}
        return _numpy(made["y"])

    def _plain(self, arrays: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(self._outputs, self._call(self._session.run, None, arrays), strict=True))

    def _bound(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """The same with states left where the device has them."""
        binding = self._session.io_binding()
        for name, value in arrays.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, value)
            else:
                binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, "cpu" if name == "y" else self.device)
        self._call(self._session.run_with_iobinding, binding)
        return dict(zip(self._outputs, binding.get_outputs(), strict=True))

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            if type(error).__module__.startswith("onnxruntime"):
                raise Error(f"{self._path.name}: onnxruntime failed: {error}") from error
            raise

    def _feeds(self, given: dict[str, Any], first: str) -> dict[str, Any]:
        """All inputs: those given, and the state."""
        wanted = [name for name in self._inputs if not (self._carried and name in self._names)]
        if missing := [name for name in wanted if name not in given]:
            raise InvalidValueError(f"inputs: expected {', '.join(missing)}, got none")
        if unknown := [name for name in given if name not in wanted]:
            raise InvalidValueError(f"inputs: expected {', '.join(wanted)}, got {', '.join(unknown)} besides")
        arrays: dict[str, Any] = {name: self._array(name, value) for name, value in given.items()}
        if self._carried:
            rows = arrays[first].shape[list(self._inputs[first].shape).index("batch")]
            arrays |= {name: self._row_state(name, rows) for name in self._names}
        return arrays

    def _row_state(self, name: str, rows: int) -> Any:
        value = self._inputs[name]
        shape = [rows if extent == "batch" else extent for extent in value.shape]
        if name not in self._state:
            return np.zeros(shape, _DTYPES[value.type])
        state = self._state[name]
        found = list(state.shape() if callable(state.shape) else state.shape)
        if found != shape:
            raise ShapeError(
                f"state: expected '{name}' of shape {tuple(shape)} for {rows} rows, got {tuple(found)} from calls with "
                "another number; reset() sets it to zero"
            )
        return state

    def _array(self, name: str, value: Any) -> Array:
        """An input in its dtype and, where that is fixed, its shape."""
        info = self._inputs[name]
        array = np.asarray(value)
        dtype = np.dtype(_DTYPES[info.type])
        if (array.dtype.kind in "iub") != (dtype.kind == "i") and array.dtype.kind not in "iubf":
            raise DtypeError(f"{name}: expected {dtype}, got {array.dtype}")
        if dtype.kind == "i" and array.dtype.kind not in "iu":
            raise DtypeError(f"{name}: expected integers, got {array.dtype}")
        fits = len(array.shape) == len(info.shape) and all(
            not isinstance(wanted, int) or wanted == got for wanted, got in zip(info.shape, array.shape, strict=True)
        )
        if not fits:
            raise ShapeError(f"{name}: expected shape ({', '.join(map(str, info.shape))}), got {array.shape}")
        return np.ascontiguousarray(array.astype(dtype, copy=False)).reshape(array.shape)


def _onnxruntime(device: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UnsupportedError(
            "Session: expected onnxruntime or onnxruntime-gpu to be installed, got neither: pip install onnxruntime"
        ) from error
    if device == "cuda":
        preload = getattr(onnxruntime, "preload_dlls", None)
        if preload is not None:
            # Finds CUDA's libraries where other packages brought them.
            preload()
        if _PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
            raise UnsupportedError(
                "device: expected an onnxruntime with CUDA for 'cuda', got one without: pip install onnxruntime-gpu"
            )
    return onnxruntime


def _computes(event: dict[str, Any]) -> bool:
    """Whether a node takes or gives floating-point numbers."""
    types = {name for part in ("input", "output") for value in event.get(f"{part}_type_shape", ()) for name in value}
    return not types.isdisjoint(("float", "double", "float16"))


def _numpy(value: Any) -> Array:
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
