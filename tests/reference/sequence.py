"""A cell over a sequence: layers, directions (Schuster and Paliwal, IEEE Trans. SP 45(11), 1997), lengths.

Written row by row and step by step, the slowest and plainest way there is: a row of length n takes its n steps, a
reverse direction starts at step n - 1, and what lies beyond n is not read.

A cell is a module with

    states(options, hidden_size)                    the width of each state by its name, in their order
    step(p, options, x, state)                      y and the new states, of one row
    output_size(options, hidden_size, input_size)   the width of y, where that is not hidden_size
    POSITIVE                                        the names of states that are positive, where there are any
"""

import numpy as np

from . import corners
from .zoneout import zoneout


def output_size(cell, options, hidden_size, input_size):
    return cell.output_size(options, hidden_size, input_size) if hasattr(cell, "output_size") else hidden_size


def one_direction(cell, p, options, x, state):
    """x (n, F) of one row and its state, a tuple of vectors: the y of every step and the last state."""
    outputs = []
    for x_t in x:
        y, new = cell.step(p, options, x_t, state)
        zoned = zoneout(options.get("zoneout", 0.0), state, new)
        # Where a state is itself what the cell gives out, that is the state as zoneout leaves it.
        outputs.append(next((z for z, n in zip(zoned, new, strict=True) if n is y), y))
        state = zoned
    return outputs, state


def parameters_of(weights, suffix):
    """The parameters of one sublayer and direction, without what follows their names."""
    found = {name[: -len(suffix)]: value for name, value in weights.items() if name.endswith(suffix)}
    return {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}


def run(
    cell, weights, options, hidden_size, x, state=None, lengths=None, num_layers=1, bidirectional=False, residual=False
):
    """x (T, B, F) to y (T, B, D * width), the final states (num_layers * D, B, width), the distance from a corner.

    With `residual` each sublayer's input is added to its output.
    """
    x = np.asarray(x, dtype=np.float64)
    steps, batch = x.shape[:2]
    directions = 2 if bidirectional else 1
    lengths = [steps] * batch if lengths is None else lengths
    if state is None:
        state = [np.zeros((num_layers * directions, batch, w)) for w in cell.states(options, hidden_size).values()]
    final = [np.array(s, dtype=np.float64) for s in state]
    corners.forget()
    for layer in range(num_layers):
        width = output_size(cell, options, hidden_size, x.shape[-1])
        y = np.zeros((steps, batch, directions * width))
        for direction in range(directions):
            p = parameters_of(weights, f"_l{layer}" + ("_reverse" if direction else ""))
            k = layer * directions + direction
            for b, n in enumerate(lengths):
                order = slice(0, n) if direction == 0 else slice(n - 1 if n else 0, None, -1)
                row = x[order, b] if n else x[:0, b]
                outputs, last = one_direction(cell, p, options, row, tuple(s[k, b] for s in final))
                out = y[:, b, direction * width : (direction + 1) * width]
                for t, y_t in enumerate(outputs):
                    out[t if direction == 0 else n - 1 - t] = y_t
                for s, v in zip(final, last, strict=True):
                    s[k, b] = v
        if residual:
            y = y + x * (np.arange(steps)[:, None, None] < np.asarray(lengths)[None, :, None])
        x = y
    return x, final, corners.nearest()
