"""The embedded Reber grammar: the last symbol but one of a string is the second again, with a Reber string between.

Hochreiter and Schmidhuber (1997, Long short-term memory, experiment 1): LSTM learns it, Elman's network does not. The
network sees a symbol a step and gives each next symbol a value; a string is right when, at every step, the symbols
that may come next are those of the highest values.

Shows: one string an update as in the paper, plain gradient descent, training that ends when the task is solved.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training import Until, going_on

import rnnrs

SYMBOLS = "BTPSXVE"
# The Reber grammar (Reber 1967): from each node, the symbols that may follow and where they lead.
REBER: dict[int, dict[str, int]] = {
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
    7: {},
}


def string(rng: np.random.Generator) -> tuple[str, list[str]]:
    """A string of the embedded grammar, and after each of its symbols but the last those that may come next."""
    inner, legal, node = "", [], 0
    while REBER[node]:
        choices = sorted(REBER[node])
        legal.append("".join(choices))
        inner += choices[rng.integers(len(choices))]
        node = REBER[node][inner[-1]]
    side = "TP"[rng.integers(2)]
    return f"B{side}{inner}{side}E", ["TP", *legal, side, "E"]


def strings(count: int, others: set[str], rng: np.random.Generator) -> list[tuple[str, list[str]]]:
    """Drawn strings that are not among `others`."""
    found = []
    while len(found) < count:
        text, legal = string(rng)
        if text not in others:
            found.append((text, legal))
    return found


def coded(text: str) -> NDArray[np.float32]:
    """A row a symbol, one unit each."""
    return np.eye(len(SYMBOLS), dtype=np.float32)[[SYMBOLS.index(symbol) for symbol in text]]


def right(model: rnnrs.Sequential, drawn: list[tuple[str, list[str]]]) -> int:
    """How many strings are right at every step."""
    count = 0
    for y, (_, legal) in zip(model.predict([coded(text[:-1]) for text, _ in drawn]), drawn, strict=True):
        ranked = ["".join(SYMBOLS[index] for index in np.argsort(-row)) for row in y]
        count += all(set(row[: len(may)]) == set(may) for row, may in zip(ranked, legal, strict=True))
    return count


def train(
    cell: str, *, optimizer: str, rate: float, seed: int = 1, epochs: int = 400, path: Path | None = None
) -> dict[str, Any]:
    """Trains on 256 strings until those and 256 others are all right; returns after how many strings that was."""
    rng = np.random.default_rng(seed)
    known = strings(256, set(), rng)
    unknown = strings(256, {text for text, _ in known}, rng)
    # Sizes of the paper: six cells without a forget gate, and fifteen units in Elman's network.
    layer = {
        "lstm": lambda: rnnrs.LSTM(len(SYMBOLS), 6, forget_gate=False),
        "lstm-forget": lambda: rnnrs.LSTM(len(SYMBOLS), 6, forget_bias=1.0),
        "elman": lambda: rnnrs.RNN(len(SYMBOLS), 15),
    }[cell]()
    model = rnnrs.Sequential(layer, rnnrs.Linear(layer.hidden_size, len(SYMBOLS)), seed=seed)
    if cell == "lstm":
        state = model.state_dict()
        state["0.bias_ih_l0"][-6:] = [-1, -1, -2, -2, -3, -3]  # the output gates, as in the paper
        model.load_state_dict(state)
    rule = {"sgd": rnnrs.optim.SGD, "adam": rnnrs.optim.Adam}[optimizer]
    solved = Until(lambda _: right(model, known) == len(known) and right(model, unknown) == len(unknown))
    history = model.fit(
        [coded(text[:-1]) for text, _ in known],
        [coded(text[1:]) for text, _ in known],
        loss="bernoulli",
        optimizer=rule(rate),
        epochs=epochs,
        batch_size=1,
        clip_norm=1.0,
        seed=seed,
        **going_on(path, solved, epochs=10),
    )
    known_right, unknown_right = right(model, known), right(model, unknown)
    return {
        "solved": known_right == len(known) and unknown_right == len(unknown),
        "strings": len(history.updates),
        "known": known_right / len(known),
        "unknown": unknown_right / len(unknown),
        "seconds": history.seconds,
    }


def main(epochs: int) -> None:
    for cell in ("lstm", "elman"):
        found = train(cell, optimizer="adam", rate=1e-2, epochs=epochs)
        print(
            f"{cell}: {'solved' if found['solved'] else 'not solved'} after {found['strings']:,} strings; "
            f"right: {found['known']:.1%} of those trained, {found['unknown']:.1%} of others"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=120)
    main(parser.parse_args().epochs)
