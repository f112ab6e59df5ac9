"""The order in which gradients of parameters are summed: as docs/design-notes.md tells it, on any number of threads."""

import numpy as np
import pytest

import rnnrs
from cases import assert_same_bits, assert_same_gradients

SLAB, SLABS, WINDOW = 16, 16, 16


def in_order(dy, lengths):
    """Sums of dy (N, T, F) over all valid steps: slabs of rows, longest first; windows of steps, last first."""
    batch, steps, width = dy.shape
    rows = sorted(range(batch), key=lambda row: -lengths[row])
    size = max(SLAB, -(-batch // SLABS))
    total = None
    for first in range(0, batch, size):
        slab = None
        for start in reversed(range(0, steps, WINDOW)):
            chain, valid = np.zeros(width, np.float32), False
            for t in reversed(range(start, min(start + WINDOW, steps))):
                for row in rows[first : first + size]:
                    if t < lengths[row]:
                        chain, valid = chain + dy[row, t], True
            if valid:
                slab = chain if slab is None else slab + chain
        slab = np.zeros(width, np.float32) if slab is None else slab
        total = slab if total is None else total + slab
    return total


@pytest.fixture
def with_threads():
    before = rnnrs.get_num_threads()
    yield rnnrs.set_num_threads
    rnnrs.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("batch", "ragged"), [(1, False), (16, False), (32, False), (37, True), (48, False), (300, True)]
)
def test_the_order_is_the_documented_one(batch, ragged, threads, with_threads):
    rng = np.random.default_rng(batch)
    steps = 21
    dy = rng.normal(size=(batch, steps, 5)).astype(np.float32)
    lengths = rng.integers(0, steps + 1, batch) if ragged else np.full(batch, steps)
    with_threads(threads)
    model = rnnrs.Sequential(rnnrs.Linear(3, 5), seed=0)
    tape = model.record(np.ones((batch, steps, 3), np.float32), lengths=lengths)
    assert_same_bits(tape.backward(dy).params["0.bias"], in_order(dy, lengths), "dbias")


@pytest.mark.parametrize("hidden", [24, 300])
@pytest.mark.parametrize("batch", [32, 41, 48])
@pytest.mark.parametrize("ragged", [False, True])
def test_threads_and_checkpoints_do_not_change_it(batch, hidden, ragged, with_threads):
    """Of many rows, of small and large sums, of tables that are looked up, and where rows end early."""
    rng = np.random.default_rng(hidden)
    steps = 50
    model = rnnrs.Sequential(rnnrs.Embedding(40, 8), rnnrs.LSTM(8, hidden), rnnrs.Linear(hidden, 3), seed=0)
    tokens = rng.integers(0, 40, (batch, steps))
    lengths = rng.integers(0, steps + 1, batch) if ragged else None
    dy = rng.normal(size=(batch, steps, 3)).astype(np.float32)
    dy[:, 20:] *= -0.0  # sums of which the sign of zero tells the order
    found = []
    for threads in (1, 2, 3, 4):
        with_threads(threads)
        found += [model.record(tokens, lengths=lengths, checkpoint=every).backward(dy) for every in (None, 16, 32)]
    for other in found[1:]:
        assert_same_gradients(found[0], other)
