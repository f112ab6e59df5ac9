"""Who can count? Recognisers of aⁿbⁿ and aⁿbⁿcⁿ, trained on short words and asked for long ones.

Weiss, Goldberg and Yahav (2018, On the practical computational power of finite precision RNNs for language
recognition): the LSTM counts in its cells, which are not bounded; the GRU's state is. After each symbol the network
says whether what it has read so far is a word.

Shows: tokens, targets at each step, rows of unlike lengths, the states of a recorded run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training import going_on

import rnnrs

LETTERS = {"anbn": 2, "anbncn": 3}
LONGEST = {"anbn": 99, "anbncn": 49}  # of the words that are trained: n < 100 and n < 50, as in the paper
ASKED = {"anbn": 1000, "anbncn": 60}
UNITS = 10
CELLS = ("lstm", "gru", "gru-open", "relu", "tanh")


def network(cell: str, letters: int, seed: int) -> rnnrs.Sequential:
    """Ten units of a cell between an embedding and one logit.

    The forget gate begins wide open, as does the update gate of `gru-open`; `relu` begins with the identity (Le, Jaitly
    and Hinton 2015).
    """
    layer = {
        "lstm": lambda: rnnrs.LSTM(UNITS, UNITS, forget_bias=16.0),
        "gru": lambda: rnnrs.GRU(UNITS, UNITS),
        "gru-open": lambda: rnnrs.GRU(UNITS, UNITS),
        "relu": lambda: rnnrs.RNN(UNITS, UNITS, nonlinearity="relu"),
        "tanh": lambda: rnnrs.RNN(UNITS, UNITS),
    }[cell]()
    model = rnnrs.Sequential(rnnrs.Embedding(letters, UNITS), layer, rnnrs.Linear(UNITS, 1), seed=seed)
    state = model.state_dict()
    if cell == "gru-open":
        state["1.bias_ih_l0"][UNITS : 2 * UNITS] = 12.0
    if cell == "relu":
        state["1.weight_hh_l0"] = np.eye(UNITS, dtype=np.float32)
    model.load_state_dict(state)
    return model


def is_word(text: NDArray[np.int64], letters: int) -> NDArray[np.bool_]:
    """After each symbol of a^k b^l (c^m): whether all letters came equally often."""
    counts = np.stack([np.cumsum(text == letter) for letter in range(letters)])
    return (counts == counts[0]).all(axis=0)


def texts(letters: int, longest: int, rows: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Words and near misses as (tokens, targets, lengths, weights): some with a wrong count, some that go on too long.

    After most symbols the answer is no, so the few times it is yes weigh more.
    """
    drawn = []
    for _ in range(rows):
        counts = np.full(letters, rng.integers(1, longest + 1))
        if rng.random() < 0.5:
            counts[rng.integers(1, letters)] = rng.integers(1, longest + 1)
        if letters > 2 and rng.random() < 0.5:
            counts[1] = max(1, counts[1] + rng.integers(-3, 4))
        counts[-1] += rng.integers(0, 4)
        drawn.append(np.repeat(np.arange(letters), counts))
    lengths = np.array([len(text) for text in drawn])
    tokens = np.zeros((rows, lengths.max()), np.int64)
    targets = np.zeros((rows, lengths.max(), 1), np.float32)
    for row, text in enumerate(drawn):
        tokens[row, : len(text)] = text
        targets[row, : len(text), 0] = is_word(text, letters)
    return tokens, targets, lengths, np.where(targets[:, :, 0] > 0, 20.0, 1.0)


def answers(model: rnnrs.Sequential, letters: int, n: int) -> tuple[bool, bool]:
    """(whether the word of n is accepted, whether all else that is read on the way and two steps beyond is refused)."""
    text = np.repeat(np.arange(letters), [n] * (letters - 1) + [n + 2])
    said, right = model(text[None])[0, :, 0] > 0, is_word(text, letters)
    return bool(said[right].all()), bool(not said[~right].any())


def counts(model: rnnrs.Sequential, letters: int, longest: int) -> tuple[float, int]:
    """(the share of the trained n whose answers are all right, the greatest n of all tried whose answers are)."""
    tried = [*range(1, longest + 1), *range(longest + 1, 2001, 19)]
    right = [n for n in tried if all(answers(model, letters, n))]
    return sum(n <= longest for n in right) / longest, max(right, default=0)


def trace(model: rnnrs.Sequential, letters: int, n: int, points: int = 60) -> dict[str, Any]:
    """The units (the LSTM's c, the others' h) at some steps of the word of n."""
    text = np.repeat(np.arange(letters), n)
    states = model.record(text[None], training=False).states[0]
    units = (states[-1] if isinstance(states, tuple) else states)[:, 0, 0]
    steps = np.linspace(0, len(text) - 1, points).round().astype(int)
    return {"steps": (steps + 1).tolist(), "units": units[steps].T.round(3).tolist()}


def train(
    language: str, cell: str, *, seed: int = 1, epochs: int = 150, rows: int = 2000, path: Path | None = None
) -> dict[str, Any]:
    """Trains a recogniser on short words; returns how far it counts."""
    letters, asked = LETTERS[language], ASKED[language]
    model = network(cell, letters, seed)
    history = model.fit(
        *texts(letters, LONGEST[language], rows, np.random.default_rng(seed)),
        loss="bernoulli",
        optimizer=rnnrs.optim.Adam(1e-2, schedule=rnnrs.schedules.Cosine(epochs * -(-rows // 32))),
        epochs=epochs,
        clip_norm=1.0,
        seed=seed,
        **going_on(path, epochs=10),
    )
    accepted, refused = answers(model, letters, asked)
    trained, greatest = counts(model, letters, LONGEST[language])
    return {
        "loss": history["loss"][-1],
        "accepts": accepted,
        "refuses": refused,
        "trained": trained,
        "greatest": greatest,
        "trace": trace(model, letters, asked),
        "updates": len(history.updates),
        "seconds": history.seconds,
    }


def main(epochs: int, cell: str) -> None:
    for language in LETTERS:
        found = train(language, cell, epochs=epochs)
        print(
            f"{language}, {cell}: {found['trained']:.0%} of the trained n right, the greatest is {found['greatest']}; "
            f"n = {ASKED[language]} is {'' if found['accepts'] else 'not '}accepted, "
            f"other strings on the way are {'' if found['refuses'] else 'not all '}refused"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--cell", choices=CELLS, default="lstm")
    options = parser.parse_args()
    main(options.epochs, options.cell)
