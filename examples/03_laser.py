"""A chaotic laser, one step ahead (Santa Fe competition, data set A), learned in a loop of one's own and then streamed.

Shows: value_and_grad, an optimizer and a schedule without fit; a stream that gives the bits of the whole sequence.
"""

from __future__ import annotations

import argparse

import numpy as np
from data import find

import rnnrs


def main(updates: int) -> float:
    """Trains on the first 2,000 points and returns the normalised error of the next 1,000, each from all before it."""
    path = find("santafe_laser/santafe_laser.npy", "https://github.com/reservoirpy/reservoirpy")
    series = np.load(path).ravel()[:3001].astype(np.float32)
    series = (series - series[:2000].mean()) / series[:2000].std()
    x, y = series[:-1, None], series[1:, None]

    model = rnnrs.Sequential(rnnrs.LSTM(1, 64), rnnrs.Linear(64, 1), seed=1)
    schedule = rnnrs.schedules.Cosine(total=updates, warmup=updates // 10)
    optimizer = rnnrs.optim.Adam(1e-2, schedule=schedule)
    rows_x, rows_y = x[:2000].reshape(20, 100, 1), y[:2000].reshape(20, 100, 1)
    for update in range(updates):
        loss, grads = model.value_and_grad(rows_x, rows_y, loss="mse")
        grads.clip_norm(1.0)
        optimizer.step(model, grads)
        if update % 100 == 0 or update == updates - 1:
            print(f"update {update:4}: mean squared error {loss:.5f}")

    stream = model.stream()
    streamed = np.array([stream.step(x_t) for x_t in x])
    whole = model(x[None])[0]
    error = float(np.mean((streamed[2000:] - y[2000:]) ** 2) / np.var(y[2000:]))
    same = np.array_equal(streamed, whole)
    print(f"streamed {len(x)} steps: {'the same bits as' if same else 'other bits than'} the whole sequence")
    print(f"points 2001 to 3000, one step ahead: normalised mean squared error {error:.4f}")
    return error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=600)
    main(parser.parse_args().updates)
