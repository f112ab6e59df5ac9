"""The chunker and the automatizer: long lags learnt by nets whose errors go back three steps.

Three tasks of the literature, each as one continuous stream that never says where a string begins. `1991`: strings
a b1 ... b20 and x b1 ... b20, and after each of them a target unit must say which it was (Schmidhuber 1992, Learning
complex, extended sequences using the principle of history compression). `2a`: strings y a1 ... a(p-1) y and
x a1 ... a(p-1) x, whose last symbol is their first (Hochreiter and Schmidhuber 1997, Long short-term memory,
experiment 2). `2b`: the same with p-1 symbols drawn at random between, which nobody can predict.

Shows: learning online, targets, what the chunker was told, the picture of both nets' work.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnnrs

BLOCK = 50  # strings that are drawn at once; so many in a row must be right
CELLS = {"tanh": rnnrs.RNN, "lstm": rnnrs.LSTM, "gru": rnnrs.GRU}
SAVED = 2  # blocks between two copies of a run that may be cut
TESTED = 10_000  # strings that 2a asks of a net which no longer learns, as in the paper


def strings(task: str, p: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(symbols (BLOCK, steps), which of the two first symbols each string has)."""
    first = rng.integers(0, 2, BLOCK)
    if task == "1991":
        filler = np.tile(np.arange(2, 22), (BLOCK, 1))
        return np.column_stack([first, filler]), first
    filler = np.tile(np.arange(2, p + 1), (BLOCK, 1)) if task == "2a" else rng.integers(2, p + 1, (BLOCK, p - 1))
    return np.column_stack([first, filler, first]), first


class Stream:
    """The strings, block by block, as symbols and targets."""

    def __init__(self, task: str, p: int, seed: int) -> None:
        self._task, self._p, self._seed = task, p, seed

    def block(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Symbols (BLOCK, steps), and (BLOCK, steps) what the target unit should show with each of them.

        It speaks of the string that has just ended, so it comes with the first symbol of the next: the target is part
        of what the automatizer must predict.
        """
        x, first = strings(self._task, self._p, np.random.default_rng([self._seed, index]))
        if self._task != "1991":
            return x, None
        targets = np.full(x.shape, np.nan, np.float32)
        targets[1:, 0] = first[:-1]
        if index:
            targets[0, 0] = strings(self._task, self._p, np.random.default_rng([self._seed, index - 1]))[1][-1]
        return x, targets


def right(task: str, work: Any, targets: NDArray[np.float32] | None, steps: int) -> NDArray[np.bool_]:
    """Which strings of a block were right, but for their first symbols, which nobody can know.

    1991: at every step the unit of the symbol that comes is above 0.5 (the others are then below), and the target unit
    is on the right side of 0.5. 2a: every unit is within 0.25 of what it should be. 2b: so is the last symbol's.
    """
    p = work.probability.reshape(-1, steps)
    if targets is None:
        return np.asarray((p[:, -1:] if task == "2b" else p[:, 1:]).min(axis=1) > 0.75)
    said, asked = work.targets.reshape(-1, steps)[:, 0], targets[:, 0]
    return np.asarray((p[:, 1:].min(axis=1) > 0.5) & (np.isnan(asked) | ((said > 0.5) == (asked > 0.5))))


def network(
    task: str,
    p: int,
    cell: str,
    units: int,
    rates: tuple[float, float],
    decay: int | None,
    balance: float,
    every: int,
    seed: int,
) -> rnnrs.ChunkerAutomatizer:
    """Both nets; with balance 0 the automatizer is a plain net that learns alone.

    With `decay` its rate falls to a tenth within so many updates.
    """
    schedule = None if decay is None else rnnrs.schedules.Cosine(decay, floor=0.1)
    return rnnrs.ChunkerAutomatizer(
        22 if task == "1991" else p + 1,
        lambda inputs: CELLS[cell](inputs, units),
        lambda inputs: rnnrs.RNN(inputs, 20),
        targets=int(task == "1991"),
        account="none" if task == "1991" else "time",
        threshold=0.75,
        balance=balance,
        bptt=3,
        every=every,
        optimizer=rnnrs.optim.Adam(rates[0], schedule=schedule),
        chunker_optimizer=rnnrs.optim.Adam(rates[1]),
        seed=seed,
    )


def holds(nets: rnnrs.ChunkerAutomatizer, task: str, p: int, seed: int, tested: int) -> bool:
    """Whether so many strings in a row are right while nothing is learnt."""
    stream = Stream(task, p, seed)
    for index in range(tested // BLOCK):
        x, targets = stream.block(index)
        if not right(task, nets.run(x.ravel()), targets, x.shape[1]).all():
            return False
    return True


def train(
    task: str,
    *,
    p: int = 100,
    cell: str = "tanh",
    units: int = 20,
    rate: float = 2e-3,
    chunker_rate: float = 1e-3,
    decay: int | None = None,
    balance: float = 1.0,
    every: int = 1,
    limit: int = 5000,
    tested: int = TESTED,
    seed: int = 1,
    path: Path | None = None,
    picture: Path | None = None,
) -> dict[str, Any]:
    """Learns until the task is solved, at most `limit` strings; returns after how many strings that was."""
    stream = Stream(task, p, seed)
    if path is not None and path.exists():
        nets = rnnrs.load(path)
        done = json.loads(nets.metadata["example"])
    else:
        nets = network(task, p, cell, units, (rate, chunker_rate), decay, balance, every, seed)
        done = {"blocks": 0, "row": 0, "solved": None, "work": [], "seconds": 0.0}
    began = time.perf_counter() - done["seconds"]
    while done["solved"] is None and done["blocks"] * BLOCK < limit:
        x, targets = stream.block(done["blocks"])
        work = nets.fit(x.ravel(), None if targets is None else targets.ravel())
        for place, good in enumerate(right(task, work, targets, x.shape[1])):
            done["row"] = done["row"] + 1 if good else 0
            if done["row"] == BLOCK and task == "1991":
                done["solved"] = done["blocks"] * BLOCK + place + 1
                break
        done["blocks"] += 1
        done["work"].append(round(float(work.failures.sum()) / BLOCK, 3))
        if task != "1991" and done["row"] >= BLOCK and holds(nets, task, p, seed + 1_000_000, tested):
            done["solved"] = done["blocks"] * BLOCK
        done["seconds"] = time.perf_counter() - began
        if path is not None and done["blocks"] % SAVED == 0:
            nets.metadata["example"] = json.dumps(done)
            nets.save(path)
    if picture is not None:
        nets.plot(picture)
    every = -(-len(done["work"]) // 200)
    return {
        "solved": done["solved"] is not None,
        "strings": done["blocks"] * BLOCK if done["solved"] is None else done["solved"],
        "work": [round(float(np.mean(done["work"][at : at + every])), 3) for at in range(0, len(done["work"]), every)],
        "every": every * BLOCK,
        "seconds": done["seconds"],
    }


def main(epochs: int, task: str, picture: Path | None) -> None:
    cell = "tanh" if task == "1991" else "lstm"
    found = train(task, cell=cell, limit=epochs * BLOCK, tested=100, picture=picture)
    print(
        f"task {task}: {'solved' if found['solved'] else 'not solved'} after {found['strings']:,} strings; the chunker "
        f"was told {found['work'][0]:.1f} symbols of a string at first and {found['work'][-1]:.1f} in the end"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100, help=f"at most so many times {BLOCK} strings")
    parser.add_argument("--task", choices=["1991", "2a", "2b"], default="1991")
    parser.add_argument("--picture", type=Path, help="where to draw both nets' work")
    options = parser.parse_args()
    main(options.epochs, options.task, options.picture)
