"""From a chain of layers to a model of rnnrs: stacks put together, parameters set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

import rnnrs

from . import _load_cells
from ._load_cells import Array
from ._load_chain import Chain, Link
from ._load_operators import Pointwise
from ._load_recurrence import LastStep, Recurrence, Start

Stack = list[Recurrence]


def build(chain: Chain, dtype: str | None) -> rnnrs.Layer:
    """The model: one layer where the chain is one, or one stack; else a Sequential.

    Raises:
        FileError: a weight is not finite.
    """
    dtype = dtype or _dtype(chain)
    groups = _stacks(chain.links)
    lone = len(groups) == 1
    layers = [_layer(group, dtype, batch_first=chain.batch_first and lone) for group in groups]
    first = layers[0]
    return first if lone and isinstance(first, rnnrs.Layer) else rnnrs.Sequential(*layers, dtype=dtype)


def _dtype(chain: Chain) -> str:
    wide = any(array.dtype == np.float64 for link in chain.links for array in _arrays(link))
    return "float64" if wide else "float32"


def _arrays(link: Link) -> list[Array]:
    if isinstance(link, Recurrence):
        return [array for direction in link.cell.directions for array in direction.values()]
    return list(link.parameters.values()) if isinstance(link, Pointwise) else []


def _stacks(links: Sequence[Link]) -> list[Stack | Pointwise | LastStep]:
    """The layers, those recurrences together that are layers of one stack."""
    groups: list[Stack | Pointwise | LastStep] = []
    for link in links:
        if not isinstance(link, Recurrence):
            groups.append(link)
        elif groups and isinstance(groups[-1], list) and _continues(groups[-1][-1], link):
            groups[-1].append(link)
        else:
            groups.append([link])
    return groups


def _continues(lower: Recurrence, upper: Recurrence) -> bool:
    """Whether both are layers of one stack: alike, with initial states that follow each other."""
    kinds = [(c.operator, c.hidden_size, c.options, len(c.directions)) for c in (lower.cell, upper.cell)]
    follow = [start and Start(start.name, start.offset + len(lower.cell.directions)) for start in lower.starts]
    return kinds[0] == kinds[1] and follow == list(upper.starts)


def _layer(group: Stack | Pointwise | LastStep, dtype: str, *, batch_first: bool) -> rnnrs.Layer | rnnrs.Last:
    if isinstance(group, LastStep):
        return rnnrs.Last()
    if isinstance(group, Pointwise):
        return _filled(group.make(*group.arguments, dtype=dtype), {group.node: group.parameters})
    cell = group[0].cell
    made = _load_cells.LAYERS[cell.operator](
        cell.input_size,
        cell.hidden_size,
        len(group),
        bidirectional=len(cell.directions) == 2,
        batch_first=batch_first,
        dtype=dtype,
        **cell.options,
    )
    parameters = {
        recurrence.node: {
            f"{name}_l{level}{'_reverse' if backwards else ''}": array
            for backwards, direction in enumerate(recurrence.cell.directions)
            for name, array in direction.items()
        }
        for level, recurrence in enumerate(group)
    }
    return _filled(made, parameters)


def _filled(layer: rnnrs.Layer, parameters: Mapping[str, Mapping[str, Array]]) -> rnnrs.Layer:
    """The layer with the parameters that each node gives."""
    values = {}
    for node, given in parameters.items():
        for name, array in given.items():
            with np.errstate(over="ignore"):  # Said below, as what it is.
                values[name] = array.astype(layer.dtype)
            if not np.isfinite(values[name]).all():
                raise rnnrs.FileError(
                    f"{node}: expected weights that are finite in {layer.dtype}, got others in {name}"
                )
    layer.load_state_dict(values)
    return layer
