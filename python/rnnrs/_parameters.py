"""What every model has: parameters by name, files, copies, and a description of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _core, _seeds, _spec
from ._core import InvalidValueError, UnsupportedError
from ._states import StateForm

if TYPE_CHECKING:
    from rnnrs_onnx import Report

Array = _arrays.Array


class Parameterised:
    """A chain of layers held by the engine, and its parameters."""

    metadata: dict[str, str]
    """The user's own notes, kept in the file beside the model."""

    def _make(self, layers: list[_spec.LayerSpec], *, prefix: bool, dtype: str | None, seed: int | None) -> None:
        seed = _seeds.check(seed)
        model = _core.Model(_spec.chain(layers, prefix=prefix), dtype or "float32", seed)
        self._hold(model, seed=seed)
        self._dtype_given = dtype is not None
        self._touched = False

    def _hold(self, model: _core.Model, *, seed: int | None = None) -> None:
        spec = json.loads(model.spec)
        self._model = model
        self._layers: list[_spec.LayerSpec] = spec["layers"]
        self._seed = seed
        self._draws = _seeds.Draws(seed)
        self._dtype_given = True
        self._touched = True
        self._form = self._state_form(model)
        self.metadata = {}

    @staticmethod
    def _state_form(model: _core.Model) -> StateForm:
        return StateForm(model.states)

    @property
    def _native(self) -> _core.Model:
        # From here on the values of the parameters count: a Sequential made of this layer takes them along.
        self._touched = True
        return self._model

    @property
    def dtype(self) -> str:
        """``"float32"`` or ``"float64"``."""
        return self._model.dtype

    @property
    def precision(self) -> str:
        """What matrix products make of their operands: ``"full"`` (when the model is made) or ``"bfloat16"``.

        With ``"bfloat16"`` weights and what they are multiplied by are rounded to 16 bits, the upper half of a float32
        (8 bits of precision, every exponent), in calls, recordings, backward passes and streams. Sums, states, all
        elementwise functions, gradients, optimizers and the parameters themselves stay float32: these are the master
        weights of which each update makes new 16-bit ones. Results have the same bits on every instruction set, for
        any number of threads and in any batch, as in full precision. The setting is kept in files and copies; a
        Sequential takes over that of its layers; a tape is run backward as it was recorded; ONNX exports are float32.
        Whether it is faster depends on the processor: see docs/performance.md.

        Raises:
            DtypeError: a float64 model.
            InvalidValueError: neither of the two names; layers of a Sequential that disagree.
        """
        return self._model.precision

    @precision.setter
    def precision(self, name: str) -> None:
        if not isinstance(name, str):
            raise InvalidValueError(f'precision: expected "full" or "bfloat16", got {name!r}')
        self._model.precision = name

    @property
    def num_parameters(self) -> int:
        """How many numbers the parameters hold, frozen ones included."""
        total = 0
        for _, shape, _ in self._model.parameters():
            size = 1
            for length in shape:
                size *= length
            total += size
        return total

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by name; names, shapes and layout are PyTorch's where PyTorch has the layer."""
        model = self._native
        return {name: model.get(name) for name, _, _ in model.parameters()}

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> None:
        """Sets parameters from arrays, or torch tensors, by name: all of them or, on an error, none.

        Args:
            values: arrays of the model's dtype (parameters are never converted).
            strict: names must match exactly; otherwise names that are missing keep their values and names that the
                model does not have are an error all the same.

        Raises:
            InvalidValueError: for a missing or unknown name, or a value that is not finite.
            ShapeError, DtypeError: for an array that does not fit.
        """
        arrays = {name: _arrays.exact(value, self.dtype, name) for name, value in values.items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise InvalidValueError(f"{name}: expected finite numbers, got {array[~np.isfinite(array)][0]}")
        self._native.set(arrays, strict)

    def freeze(self, prefix: str = "", frozen: bool = True) -> int:
        """Holds the parameters whose names begin with ``prefix`` (or, with ``frozen=False``, lets them learn again).

        Optimizers pass frozen parameters over. Returns how many parameters (arrays) the prefix names; none is an
        InvalidValueError.
        """
        count = self._native.freeze(prefix, frozen)
        if not count:
            names = ", ".join(name for name, _, _ in self._model.parameters()) or "none at all"
            raise InvalidValueError(
                f"prefix: expected the beginning of a parameter's name, got {prefix!r}; names: {names}"
            )
        return count

    def explain(self) -> str:
        """The engine's plan for this model, to read: what is computed when, what is fused, saved and recomputed."""
        return self._model.explain()

    def summary(self, profile: Any = None) -> None:
        """Prints a table of the layers, their output shapes and parameters.

        Args:
            profile: an input (N, T, F), or (N, T) tokens; with it the table also shows where the time of a forward pass
                over it goes.
        """
        from . import _summary

        print(_summary.table(self, profile))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model, with its ``metadata``, to a safetensors file that ``rnnrs.load`` reads.

        The write is atomic: a save that is killed leaves the old file. The same model gives the same bytes.
        """
        from . import _files

        _files.save(self, path)

    def to_onnx(
        self,
        path: str | os.PathLike[str],
        *,
        mode: str = "sequence",
        target: str = "cpu",
        dtype: str | None = None,
        lengths: bool = False,
        zero_state: bool = False,
        noise: bool = False,
        scan: str = "auto",
        sample: str = "random",
        verify: bool = True,
        explain: bool = False,
    ) -> Report:
        """Writes the model as an ONNX file, which onnxruntime runs; needs ``pip install "rnnrs[onnx]"``.

        A cell whose equations are those of ONNX's RNN, GRU or LSTM becomes that operator, any other a Scan, with large
        products before and behind it. The file is compared with the engine before it takes the place of an older one.

        Inputs and outputs, with dimensions "time" and "batch" that may vary:

        - ``x``: as in a call of the model: (B, T, F) or (B, T) tokens for a Sequential, (T, B, F) for a recurrent layer
          without batch_first; in mode "step" (B, F) or (B,).
        - ``h``, ``c``, ...: the states before, by the cell's names for them, (num_layers * num_directions, B, width);
          in a Sequential with the layer's number: ``1.h``. After the call they are ``h_next``, ``c_next``, ...
        - ``lengths``: (B,) int64, if asked for.
        - ``y``: the output.
        - in mode "loop": ``start`` (B,) tokens or (B, F); ``steps``, an integer; for drawn tokens ``temperature`` and
          ``noise.sample`` (steps, B), uniform in [0, 1), float64 (float32 for "web"). ``y`` are the tokens
          (B, steps), or (B, steps, F).

        Args:
            path: of the file. What stands there is replaced only by a file that was written and checked.
            mode: "sequence" runs whole sequences, "step" one step, "loop" generates, the output fed back.
            target: "cpu", "cuda" or "web": which operators run well there.
            dtype: "float32", "float64" or "float16" for weights, inputs and computation; "int8" for weights quantised
                by onnxruntime's tools. None takes the model's.
            lengths: with an input for the valid steps of each row, 0 to T.
            zero_state: begin with zeros; then states are outputs only.
            noise: draw what training draws (dropout, zoneout, the cell's own random numbers), from inputs
                ``noise.<layer>.<label>``: (T, B, ...), or (B, ...) for one a sequence, uniform in [0, 1) or standard
                normal. Without it their means stand in their place.
            scan: for linear recurrences: "loop", "parallel" (all steps at once, by doubling), or "auto", the faster.
            sample: in mode "loop" how a token is chosen: "random" from softmax(y / temperature), or "argmax".
            verify: compare with the engine on random inputs: |a - b| <= 1e-5 (1 + |b|) in float32, 1e-10 in float64,
                1e-2 in float16. For int8 the difference is only reported.
            explain: also print the report.

        Returns:
            A Report: the operators chosen and why, names, and how close the results are.

        Raises:
            UnsupportedError: rnnrs-onnx is not installed, or a mode that the model does not have.
            InvalidValueError: an unknown option, or a parameter that is not finite.
            rnnrs_onnx.ExportError: the results differ; nothing was written.
        """
        try:
            import rnnrs_onnx
        except ImportError as error:
            raise UnsupportedError(
                f'to_onnx: expected rnnrs-onnx to be installed, got "{error}": pip install "rnnrs[onnx]"'
            ) from error
        return rnnrs_onnx.export(
            self,
            path,
            mode=mode,
            target=target,
            dtype=dtype,
            lengths=lengths,
            zero_state=zero_state,
            noise=noise,
            scan=scan,
            sample=sample,
            verify=verify,
            explain=explain,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_parameters:,} parameters, {self.dtype})"

    # Pickle, copy and deepcopy go through the bytes of the file format, so unpickling reads parameters as safely.
    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._native.to_bytes(), self._notes())

    def _notes(self) -> dict[str, Any]:
        """What the engine does not know of this object, as JSON."""
        return {"metadata": dict(self.metadata), "seed": self._seed}

    def _read_notes(self, notes: dict[str, Any]) -> None:
        self._seed = _seeds.check(notes.get("seed"))
        self._draws = _seeds.Draws(self._seed)
        self.metadata = dict(notes.get("metadata", {}))


def rebuild(cls: type[Parameterised], model: _core.Model, notes: dict[str, Any]) -> Parameterised:
    """An object of ``cls`` around a model of the engine."""
    made = cls.__new__(cls)
    made._hold(model)
    made._read_notes(notes)
    return made


def _restore(cls: type[Parameterised], data: bytes, notes: dict[str, Any]) -> Parameterised:
    return rebuild(cls, _core.Model.from_bytes(data, True), notes)
