"""States: how the engine's flat list of state arrays looks to the caller, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _arrays
from ._core import ShapeError

Array = _arrays.Array
Slot = tuple[int, int, int, str, int]
"""(layer of the chain, sublayer, direction, name, width) of one state array."""


class StateForm:
    """The form of a model's state.

    A recurrent layer's state is one array for each name, of shape (num_layers * num_directions, B, width) as in
    PyTorch: ``h``, or the tuple ``(h, c)``. A single step's is (B, width). A chain's is a tuple with the state of each
    of its recurrent layers. Unbatched calls leave B out. States of all steps have the steps as their first axis.
    """

    def __init__(self, slots: Sequence[Slot], *, chain: bool = False, stacked: bool = True) -> None:
        self._chain = chain
        self._stacked = stacked
        self._layers: dict[int, dict[str, list[int]]] = {}
        self._widths = [slot[4] for slot in slots]
        for index, (layer, _, _, name, _) in enumerate(slots):
            self._layers.setdefault(layer, {}).setdefault(name, []).append(index)

    def pack(self, arrays: Sequence[Array], *, batched: bool = True) -> Any:
        """Flat arrays (..., B, width), those of all steps with T in front, to the caller's form."""
        layers = [self._pack_layer(names, arrays, batched) for names in self._layers.values()]
        return tuple(layers) if self._chain or not layers else layers[0]

    def _pack_layer(self, names: dict[str, list[int]], arrays: Sequence[Array], batched: bool) -> Any:
        values = [self._pack_name([arrays[index] for index in indices], batched) for indices in names.values()]
        return values[0] if len(values) == 1 else tuple(values)

    def _pack_name(self, arrays: list[Array], batched: bool) -> Array:
        value = np.stack(arrays, axis=-3) if self._stacked else arrays[0]
        return value if batched else value[..., 0, :]

    def unpack(self, state: Any, dtype: str, batch: int, *, batched: bool = True) -> list[Array]:
        """The caller's state to flat arrays (B, width)."""
        flat = self._unpack(state, dtype, batch, batched, "state", partial=False)
        return [array for array in flat if array is not None]

    def unpack_gradient(self, dstate: Any, dtype: str, batch: int, *, batched: bool = True) -> list[Array | None]:
        """The same for a gradient, of which any array may be None."""
        return self._unpack(dstate, dtype, batch, batched, "dstate", partial=True)

    def _unpack(
        self, state: Any, dtype: str, batch: int, batched: bool, what: str, *, partial: bool
    ) -> list[Array | None]:
        flat: list[Array | None] = [None] * len(self._widths)
        layers: Any = self._members(state, len(self._layers), what, "one for each recurrent layer")
        for layer, (key, names) in zip(layers, self._layers.items(), strict=True):
            label = f"{what}[{key}]" if self._chain else what
            if partial and layer is None:
                continue
            values = [layer] if len(names) == 1 else self._tuple(layer, len(names), label, ", ".join(names))
            for value, (name, indices) in zip(values, names.items(), strict=True):
                if not (partial and value is None):
                    self._unpack_name(value, dtype, batch, batched, f"{label}: {name}", indices, flat)
        return flat

    def _members(self, state: Any, count: int, what: str, meaning: str) -> Any:
        return self._tuple(state, count, what, meaning) if self._chain or count == 0 else [state]

    @staticmethod
    def _tuple(value: Any, count: int, what: str, meaning: str) -> Any:
        if not isinstance(value, (tuple, list)) or len(value) != count:
            got = f"{len(value)} items" if isinstance(value, (tuple, list)) else type(value).__name__
            raise ShapeError(f"{what}: expected a tuple of {count} ({meaning}), got {got}")
        return value

    def _unpack_name(
        self, value: Any, dtype: str, batch: int, batched: bool, what: str, indices: list[int], flat: list[Array | None]
    ) -> None:
        array = _arrays.floats(value, dtype, what)
        width = self._widths[indices[0]]
        rows: tuple[int, ...] = (batch, width) if batched else (width,)
        shape = (len(indices), *rows) if self._stacked else rows
        if array.shape != shape:
            raise ShapeError(f"{what}: expected shape {shape}, got {array.shape}")
        parts = array.reshape(len(indices), batch, width)
        for position, index in enumerate(indices):
            flat[index] = parts[position]
