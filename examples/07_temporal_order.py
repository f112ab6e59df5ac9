"""Temporal order: two or three symbols, far apart in noise, and their order is the class.

Hochreiter and Schmidhuber (1997, Long short-term memory, experiments 6a and 6b): strings of 100 to 110 symbols begin
with E and end with B, between them are a, b, c and d at random but for X or Y at two (6a) or three places (6b), which
make four or eight classes. LSTM learns them.

Shows: tokens, sequences of unlike lengths drawn as they are needed, one class a sequence.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training import Drawn, Until, going_on

import rnnrs

SYMBOLS = "abcdXYEB"
PLACES = {"6a": [(10, 20), (50, 60)], "6b": [(10, 20), (33, 43), (66, 76)]}
TEST = 2000


def texts(task: str, rows: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(tokens, classes, lengths)."""
    lengths = rng.integers(100, 111, rows)
    tokens = rng.integers(0, 4, (rows, 110))
    classes = np.zeros(rows, np.int64)
    each = np.arange(rows)
    tokens[:, 0], tokens[each, lengths - 1] = SYMBOLS.index("E"), SYMBOLS.index("B")
    for low, high in PLACES[task]:
        drawn = rng.integers(0, 2, rows)
        tokens[each, rng.integers(low, high + 1, rows)] = SYMBOLS.index("X") + drawn
        classes = 2 * classes + drawn
    return tokens, classes, lengths


def train(
    task: str, *, seed: int = 1, epochs: int = 200, updates: int = 50, rows: int = 32, path: Path | None = None
) -> dict[str, Any]:
    """Trains until 2,000 test strings are all told right; returns after how many strings that was."""
    test = texts(task, TEST, np.random.default_rng([seed, 0, 0]))
    classes = 2 ** len(PLACES[task])
    model = rnnrs.Sequential(
        rnnrs.Embedding(len(SYMBOLS), len(SYMBOLS)),
        rnnrs.LSTM(len(SYMBOLS), 8, forget_gate=False),
        rnnrs.Last(),
        rnnrs.Linear(8, classes),
        seed=seed,
    )
    # Tokens as rows of the identity, input gates nearly closed, both as in the paper.
    state = model.state_dict()
    state["0.weight"] = np.eye(len(SYMBOLS), dtype=np.float32)
    state["1.bias_ih_l0"][:8] -= 4.0
    model.load_state_dict(state)
    model.freeze("0.")

    def right() -> float:
        tokens, wanted, lengths = test
        return float((model.predict(tokens, lengths).argmax(axis=1) == wanted).mean())

    data = Drawn(lambda rng: texts(task, rows, rng), updates, seed)
    solved = Until(lambda run: run.figures["loss"] < 0.1 and right() == 1.0)
    history = model.fit(
        data,
        optimizer=rnnrs.optim.Adam(1e-2),
        epochs=epochs,
        clip_norm=0.2,
        seed=seed,
        **going_on(path, data, solved),
    )
    accuracy = right()
    return {
        "solved": accuracy == 1.0,
        "sequences": len(history.updates) * rows,
        "right": accuracy,
        "curve": [round(value, 5) for value in history["loss"]],
        "seconds": history.seconds,
    }


def main(epochs: int, task: str) -> None:
    found = train(task, epochs=epochs)
    print(
        f"task {task}: {'solved' if found['solved'] else 'not solved'} after {found['sequences']:,} strings; "
        f"{found['right']:.1%} of {TEST:,} others told right"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--task", choices=list(PLACES), default="6a")
    options = parser.parse_args()
    main(options.epochs, options.task)
