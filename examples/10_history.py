"""A history compressor reads sentences: only what a level cannot predict goes up (Schmidhuber 1992).

The text is made of three sentences of six words, one after the other as dice fall. Within a word each letter follows
from those before. Which word comes next follows from the words before, six letters and more ago; which sentence comes
next follows from nothing. Gradients are cut after four events, so the lowest net learns words; what it fails to predict
are their first letters, and of these the next level learns sentences.

Shows: levels that add themselves while they shorten the description, the picture of what reached which level, and that
the text comes back from what reached the top.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnnrs

WORDS = ["anemone ", "barley ", "cobalt ", "dunes ", "ember ", "fjords "]
SENTENCES = [[0, 1, 2, 3, 4, 5], [2, 0, 5, 1, 3, 4], [4, 3, 0, 2, 5, 1]]
LETTERS = sorted(set("".join(WORDS)))


def text(sentences: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many sentences, as symbols."""
    chosen = (SENTENCES[k] for k in rng.integers(0, len(SENTENCES), sentences))
    letters = "".join(WORDS[word] for sentence in chosen for word in sentence)
    return np.array([LETTERS.index(letter) for letter in letters])


def stack(hidden: int, seed: int) -> rnnrs.HistoryCompressor:
    """Levels of Elman's network."""
    return rnnrs.HistoryCompressor(
        symbols=len(LETTERS), cell=lambda width: rnnrs.cells.Elman(width, hidden), max_gap=16, seed=seed
    )


def train(
    *, epochs: int = 60, hidden: int = 16, bptt: int = 4, seed: int = 1, path: Path | None = None
) -> dict[str, Any]:
    """Trains on 16 texts of 12 sentences; what it takes to tell 4 others, by level, and how much of them went up."""
    began = time.perf_counter()
    # A run takes a minute; it is not taken up again, but leaves what it learned.
    rng = np.random.default_rng(seed)
    texts, others = [text(12, rng) for _ in range(16)], [text(12, rng) for _ in range(4)]
    history, curve = stack(hidden, seed), []

    def measure(level: int) -> None:
        curve.append([level, round(history.description_length(*others).total, 1)])

    history.fit(texts, epochs=epochs, bptt=bptt, on_epoch=measure)
    if path is not None:
        history.save(path)
    events = [history.transform(other) for other in others]
    same = all(np.array_equal(history.inverse_transform(e), o) for e, o in zip(events, others, strict=True))
    work = history.work(text(5, np.random.default_rng(9)))
    return {
        "events": np.sum([[*e.counts, len(e)] for e in events], axis=0).tolist(),
        "bits": [round(part.total, 1) for part in history.description_length(*others).levels],
        "least": round(48 * float(np.log2(len(SENTENCES))), 1),
        "same": bool(same),
        "curve": curve,
        "work": [work.times.tolist(), work.levels.tolist(), work.predicted.tolist(), work.surprise.round(3).tolist()],
        "seconds": time.perf_counter() - began,
    }


def main(epochs: int, out: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = train(epochs=epochs, path=Path(folder) / "history")
        history = rnnrs.load(Path(folder) / "history")
    print(f"Events at each level, and beyond the top: {found['events']}")
    print(f"Bits to tell {found['events'][0]} letters, with each level as the top: {found['bits']}")
    print(f"The dice alone are {found['least']} bits. The text comes back: {'the same' if found['same'] else 'OTHER'}")
    if out is not None:
        history.plot(text(5, np.random.default_rng(9)), out)
        print(f"What reached which level: {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, help="save the picture here")
    options = parser.parse_args()
    main(options.epochs, options.out)
