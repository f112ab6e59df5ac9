"""A cell over a sequence: layers, directions (Schuster and Paliwal, IEEE Trans. SP 45(11), 1997), lengths.

Written row by row and step by step, the slowest and plainest way there is: a row of length n takes its n steps, a
reverse direction starts at step n - 1, and what lies beyond n is not read.
"""

import numpy as np

from .zoneout import zoneout


def one_direction(cell, p, options, x, state):
    """x (n, F) of one row and its state, a tuple of vectors; every step's states and how near relu's corner it came."""
    states, corner = [], np.inf
    for x_t in x:
        corner = min(corner, cell.kink(p, options, x_t, state))
        new = cell.step(p, options, x_t, state)
        state = zoneout(options.get("zoneout", 0.0), state, new)
        states.append(state)
    return states, state, corner


def parameters_of(weights, suffix):
    """The parameters of one sublayer and direction, without what follows their names."""
    found = {name[: -len(suffix)]: value for name, value in weights.items() if name.endswith(suffix)}
    return {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}


def run(
    cell, weights, options, hidden_size, x, state=None, lengths=None, num_layers=1, bidirectional=False, residual=False
):
    """x (T, B, F) to y (T, B, D * width), the final states (num_layers * D, B, width), the distance from a kink.

    With `residual` each sublayer's input is added to its output.
    """
    x = np.asarray(x, dtype=np.float64)
    steps, batch = x.shape[:2]
    directions = 2 if bidirectional else 1
    widths = cell.widths(options, hidden_size)
    lengths = [steps] * batch if lengths is None else lengths
    if state is None:
        state = [np.zeros((num_layers * directions, batch, w)) for w in widths]
    final = [np.array(s, dtype=np.float64) for s in state]
    corner = np.inf
    for layer in range(num_layers):
        y = np.zeros((steps, batch, directions * widths[0]))
        for direction in range(directions):
            p = parameters_of(weights, f"_l{layer}" + ("_reverse" if direction else ""))
            k = layer * directions + direction
            for b, n in enumerate(lengths):
                order = slice(0, n) if direction == 0 else slice(n - 1 if n else 0, None, -1)
                row = x[order, b] if n else x[:0, b]
                initial = tuple(s[k, b] for s in final)
                states, last, near = one_direction(cell, p, options, row, initial)
                corner = min(corner, near)
                out = y[:, b, direction * widths[0] : (direction + 1) * widths[0]]
                for t, s in enumerate(states):
                    out[t if direction == 0 else n - 1 - t] = s[0]
                for s, v in zip(final, last, strict=True):
                    s[k, b] = v
        if residual:
            y = y + x * (np.arange(steps)[:, None, None] < np.asarray(lengths)[None, :, None])
        x = y
    return x, final, corner
