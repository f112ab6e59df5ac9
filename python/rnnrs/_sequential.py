"""Sequential: layers one after the other as one model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, overload

from . import _arrays, _core, _frame
from ._core import DtypeError, InvalidValueError, UnsupportedError
from ._feedforward import Dropout, Last, Part
from ._frame import Frame
from ._layer import Layer
from ._recurrent import Recurrent
from ._states import StateForm

Array = _arrays.Array


class Sequential(Layer):
    """Layers one after the other. Takes x as (N, T, F), or (N, T) tokens where the first layer is an Embedding.

    Args:
        layers: any number of layers; a Sequential among them is taken apart.
        dtype: "float32" or "float64"; None takes what the layers say, or float32.
        seed: of the parameters and of the dropout; None draws from the system.

    The model does not share its layers: it takes a copy of the parameters of a layer that has a seed of its own or
    whose parameters were already used (run, read or set), and draws those of the others from its own seed. Names
    carry the layer's number: ``"1.weight_ih_l0"``. ``model[1]`` is a copy of a layer as it now is. What is frozen is
    said to the model, with ``freeze``.

    Raises:
        InvalidValueError: the widths of two neighbours disagree.
        DtypeError: the layers disagree about their dtype.
        UnsupportedError: a layer has ``batch_first=True``, which means nothing here.

    >>> import rnnrs
    >>> layers = rnnrs.Embedding(256, 8), rnnrs.LSTM(8, 16), rnnrs.Linear(16, 256)
    >>> model = rnnrs.Sequential(*layers, seed=0)
    >>> model([[1, 2, 3]]).shape
    (1, 3, 256)
    """

    def __init__(self, *layers: Layer | Part, dtype: str | None = None, seed: int | None = None) -> None:
        members: list[Layer | Part] = []
        for layer in layers:
            members.extend(layer) if isinstance(layer, Sequential) else members.append(layer)
        if not members:
            raise InvalidValueError("layers: expected at least one, got none")
        for index, layer in enumerate(members):
            if not isinstance(layer, (Layer, Part)):
                raise DtypeError(f"layer {index}: expected a layer of rnnrs, got {type(layer).__name__}")
            if isinstance(layer, Recurrent) and layer.batch_first:
                raise UnsupportedError(
                    f"layer {index}: expected no batch_first, which does not apply inside a Sequential, got True"
                )
        specs = [layer._spec if isinstance(layer, Part) else layer._layers[0] for layer in members]
        self._make(specs, prefix=True, dtype=_common_dtype(members, dtype), seed=seed)
        values = {
            f"{index}.{name}": value
            for index, layer in enumerate(members)
            if isinstance(layer, Layer)
            for name, value in _own_values(layer, self.dtype).items()
        }
        if values:
            self._model.set(values, strict=False)
        precisions = {layer.precision for layer in members if isinstance(layer, Layer)}
        if len(precisions) > 1:
            raise InvalidValueError(f"layers: expected one precision, got {', '.join(sorted(precisions))}")
        self.precision = next(iter(precisions), "full")

    @staticmethod
    def _state_form(model: _core.Model) -> StateForm:
        return StateForm(model.states, chain=True)

    def _lay(self, array: Array, features: int) -> Frame:
        return _frame.chain(array, features)

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, index: int) -> Layer | Part:
        from . import _files

        position = range(len(self._layers))[index]
        spec = self._layers[position]
        if spec["layer"] == "dropout":
            return Dropout(spec["p"])
        if spec["layer"] == "last":
            return Last()
        prefix = f"{position}."
        values = {
            name.removeprefix(prefix): self._model.get(name)
            for name, _, _ in self._model.parameters()
            if name.startswith(prefix)
        }
        made = _files.layer(spec, self.dtype, values)
        made.precision = self.precision
        return made

    def __iter__(self) -> Iterator[Layer | Part]:
        return (self[index] for index in range(len(self)))

    @overload
    def __call__(
        self, x: Any, lengths: Any = None, *, state: Any = None, return_state: Literal[False] = False
    ) -> Array: ...
    @overload
    def __call__(
        self, x: Any, lengths: Any = None, *, state: Any = None, return_state: Literal[True]
    ) -> tuple[Array, Any]: ...
    def __call__(self, x: Any, lengths: Any = None, *, state: Any = None, return_state: bool = False) -> Any:
        """Runs the chain, in evaluation mode.

        Args:
            x: (N, T, F), or (N, T) tokens.
            lengths: (N,) valid steps of each row, 0 to T, in any order.
            state: a tuple with the initial state of each recurrent layer, in that layer's form; zero when None.
            return_state: also return the final state, in that form.

        Returns:
            y, (N, T, outputs), or (N, outputs) after ``Last``; with ``return_state`` (y, state).
        """
        y, last = self._run(x, state, lengths)
        return (y, last) if return_state else y


def _own_values(layer: Layer, dtype: str) -> dict[str, Array]:
    """The parameters that a layer brings along, if any."""
    if layer._touched:
        return layer.state_dict()
    if layer._seed is None:
        return {}
    # Nobody has seen the values yet, so they are drawn in the dtype that they will have.
    drawn = _core.Model(layer._model.spec, dtype, layer._seed)
    return {name: drawn.get(name) for name, _, _ in drawn.parameters()}


def _common_dtype(members: list[Layer | Part], given: str | None) -> str | None:
    """The one dtype that the Sequential and its layers name, if any does."""
    # A layer that was used has its values in its dtype, and parameters are never converted.
    named = {layer.dtype for layer in members if isinstance(layer, Layer) and (layer._dtype_given or layer._touched)}
    if given is not None:
        named.add(given)
    if len(named) > 1:
        raise DtypeError(f"layers: expected one dtype, got {', '.join(sorted(named))}")
    return next(iter(named), None)
