"""The adding problem: of T numbers two are marked, and at the end their sum is asked.

Hochreiter and Schmidhuber (1997, Long short-term memory, experiment 4): LSTM learns it at T = 100, 500 and 1000.
Numbers are in [-1, 1], the first mark is among the first ten steps, the second in the first half, the target is
0.5 + (X1 + X2) / 4. Li et al. (2018, Independently recurrent neural network): IndRNN learns it at T = 5000. Numbers
are in [0, 1], a mark in each half, the target is X1 + X2; to answer 1 always has the mean squared error 0.167.

Shows: data drawn as they are needed, one answer a sequence, training that ends when the task is solved.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training import Drawn, Until, going_on

import rnnrs

TEST = 2000  # sequences, which must all be answered to within the tolerance of 1997, or the same share of 2018's range
TOLERANCE = {"lstm": 0.04, "indrnn": 0.16}


def sums_1997(steps: int, rows: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """(numbers and marks, targets) of Hochreiter and Schmidhuber."""
    numbers = rng.uniform(-1, 1, (rows, steps))
    first = rng.integers(0, 10, rows)
    second = (first + rng.integers(1, steps // 2 - 10, rows)) % (steps // 2)  # never the first again
    return _marked(numbers, first, second, lambda total: 0.5 + total / 4)


def sums_2018(steps: int, rows: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """(numbers and marks, targets) of Li et al."""
    numbers = rng.uniform(0, 1, (rows, steps))
    first, second = rng.integers(0, steps // 2, rows), rng.integers(steps // 2, steps, rows)
    return _marked(numbers, first, second, lambda total: total)


def _marked(numbers: NDArray[Any], first: NDArray[Any], second: NDArray[Any], target: Any) -> tuple[Any, Any]:
    rows = np.arange(len(numbers))
    marks = np.zeros_like(numbers)
    marks[rows, first] = marks[rows, second] = 1.0
    return np.stack([numbers, marks], axis=2), target((numbers * marks).sum(axis=1, keepdims=True))


def network(cell: str, steps: int, seed: int) -> rnnrs.Sequential:
    """One layer of LSTM without forget gates, as in 1997, or two of IndRNN, and the answer at the end."""
    if cell == "indrnn":
        lower = rnnrs.Recurrent(rnnrs.cells.IndRNN(2, 128, steps=steps))
        upper = rnnrs.Recurrent(rnnrs.cells.IndRNN(128, 128, steps=steps, remember=True))
        model = rnnrs.Sequential(lower, upper, rnnrs.Last(), rnnrs.Linear(128, 1), seed=seed)
        # The first layer begins silent but at marked steps, like the LSTM below, and the second adds up nothing else.
        state = model.state_dict()
        state["0.weight_ih_l0"] *= np.float32(8.0)  # from +-1/sqrt(128)
        state["0.bias_l0"][:] = -np.float32(8 * 128**-0.5)
        state["1.bias_l0"][:] = 0.0
        model.load_state_dict(state)
        return model
    model = rnnrs.Sequential(rnnrs.LSTM(2, 8, forget_gate=False), rnnrs.Last(), rnnrs.Linear(8, 1), seed=seed)
    # Input gates begin nearly closed (the paper has -3 and -6), so that a thousand steps of noise are not summed.
    state = model.state_dict()
    state["0.bias_ih_l0"][:8] -= 6.0
    model.load_state_dict(state)
    return model


def train(
    cell: str,
    steps: int,
    *,
    rate: float,
    rows: int = 32,
    seed: int = 1,
    epochs: int = 200,
    updates: int = 50,
    falling: bool = False,
    path: Path | None = None,
) -> dict[str, Any]:
    """Trains until all test sequences are answered well; returns after how many sequences that was."""
    sums = sums_2018 if cell == "indrnn" else sums_1997
    test = sums(steps, TEST, np.random.default_rng([seed, 0, 0]))
    model = network(cell, steps, seed)

    def worst() -> float:
        return float(np.abs(model.predict(test[0]) - test[1]).max())

    data = Drawn(lambda rng: sums(steps, rows, rng), updates, seed)
    # To ask all test sequences takes long, so it is done where the error of training lets one hope.
    solved = Until(lambda run: run.figures["loss"] < TOLERANCE[cell] ** 2 / 4 and worst() < TOLERANCE[cell])
    history = model.fit(
        data,
        loss="mse",
        optimizer=rnnrs.optim.Adam(rate, schedule=rnnrs.schedules.Cosine(epochs * updates) if falling else None),
        epochs=epochs,
        clip_norm=0.2,
        seed=seed,
        **going_on(path, data, solved),
    )
    return {
        "solved": worst() < TOLERANCE[cell],
        "sequences": len(history.updates) * rows,
        "mse": model.evaluate(*test, loss="mse")["loss"],
        "curve": [round(value, 6) for value in history["loss"]],
        "seconds": history.seconds,
    }


def main(epochs: int, steps: int) -> None:
    found = train("lstm", steps, rate=1e-2, epochs=epochs)
    print(
        f"LSTM, T = {steps}: {'solved' if found['solved'] else 'not solved'} after {found['sequences']:,} sequences; "
        f"mean squared error {found['mse']:.5f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    main(options.epochs, options.steps)
