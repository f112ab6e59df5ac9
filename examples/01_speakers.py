"""Who is speaking? Nine speakers told apart by recordings of 7 to 29 steps each (Japanese vowels, Kudo et al. 1999).

Shows: sequences of unlike lengths as a list, a bidirectional layer, one answer a sequence, evaluation on a test set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from data import find
from numpy.typing import NDArray

import rnnrs


def read(path: Path) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """Sequences (T, 12) and speakers 0 to 8 of a .ts file: a line a recording, channels parted by colons."""
    sequences, speakers = [], []
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines[lines.index("@data") + 1 :]:
        *channels, speaker = line.split(":")
        sequences.append(np.array([channel.split(",") for channel in channels], np.float32).T)
        speakers.append(int(speaker) - 1)
    return sequences, np.array(speakers)


def main(epochs: int) -> float:
    """Trains and returns the share of test recordings told right."""
    files = [f"japanese_vowels/JapaneseVowels_{part}.ts" for part in ("TRAIN", "TEST")]
    origin = "https://www.timeseriesclassification.com/description.php?Dataset=JapaneseVowels"
    (x, y), (x_test, y_test) = (read(find(file, origin)) for file in files)
    model = rnnrs.Sequential(
        rnnrs.GRU(12, 32, bidirectional=True), rnnrs.Last(), rnnrs.Dropout(0.2), rnnrs.Linear(64, 9), seed=1
    )
    model.summary()
    model.fit(x, y, optimizer=rnnrs.optim.Adam(1e-2), epochs=epochs, batch_size=32, clip_norm=1.0)
    result = model.evaluate(x_test, y_test, metrics=("accuracy",))
    print(f"{len(x)} recordings learned, {len(x_test)} tested: {result['accuracy']:.1%} right")
    return result["accuracy"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    main(parser.parse_args().epochs)
