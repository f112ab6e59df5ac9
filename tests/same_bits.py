"""Hashes the bits of many results, for law 4: run under each SIMD path, and with each number of threads.

    RNNRS_SIMD=avx2 python same_bits.py        prints JSON: the path that is in use, and a hash for each result

Sizes are chosen about the edges of vectors and tiles (1, 7, 16, 17, 33, 64), and large enough for threads to share.
"""

import hashlib
import json
import sys

import numpy as np

import rnnrs
from cases import CellCase, ChainCase, flat
from configurations import CELLS, CHAINS, OPTIONS

SIZES = [  # input, hidden, steps, batch
    (1, 1, 3, 1),
    (5, 7, 19, 3),
    (16, 16, 33, 4),
    (17, 33, 18, 9),
    (3, 64, 24, 18),
]
# What is tried at large sizes: one of each cell, and of those with layers of their own all with one option or none.
LARGE = [c for c in CELLS if (len(c.options) <= 1 if c.layer else c.options == OPTIONS[c.cell][0])]


def digest(*arrays):
    """A hash of shapes and bits, every NaN counted as the same."""
    h = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(np.where(np.isnan(array), np.asarray(np.nan, array.dtype), array))
        h.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return h.hexdigest()[:16]


def passes(model, case, **how):
    """y, states, dx, dstates, every parameter's gradient: of one recording and its way back."""
    tape = model.record(case.x, **case.given, **how)
    gradients = tape.backward(*case.cotangents(tape))
    yield "y", digest(tape.y)
    yield "state", digest(*flat(tape.state))
    yield "dstate", digest(*flat(gradients.state))
    if gradients.x is not None:
        yield "dx", digest(gradients.x)
    for name, value in gradients.params.items():
        yield f"d{name}", digest(value)


def learning(model, case, optimizer):
    """The parameters after a few updates, and the losses on the way."""
    rng = np.random.default_rng(1)
    y = model.record(case.x, **case.given, training=False).y
    targets = rng.normal(size=y.shape)
    losses = []
    for update in range(3):
        value, gradients = model.value_and_grad(case.x, targets, **case.given, loss="mse", seed=update)
        gradients.clip_norm(1.0)
        optimizer.step(model, gradients)
        losses.append(value)
    yield "losses", digest(np.array(losses))
    for name, value in model.state_dict().items():
        yield f"learned {name}", digest(value)


def cell_cases(every_size):
    for k, configuration in enumerate(CELLS):
        for j, (inputs, hidden, steps, batch) in enumerate(SIZES):
            if not every_size and (j + k) % len(SIZES) > 1:
                continue
            rng = np.random.default_rng([k, j])
            lengths = tuple(rng.integers(0, steps + 1, batch).tolist()) if (j + k) % 2 else None
            yield CellCase(
                configuration=configuration,
                input_size=configuration.input_size(inputs),
                hidden_size=configuration.hidden_size(hidden),
                num_layers=configuration.num_layers(1 + (k + j) % 2),
                bidirectional=(k // 2 + j) % 2 == 1,
                steps=steps,
                batch=batch,
                lengths=lengths,
                initial=k % 2 == 0,
                dropout=0.2 if j % 2 else 0.0,
                recurrent_dropout=0.2 if (j + k) % 3 == 0 and configuration.drops else 0.0,
                zoneout=0.1 if (j + k) % 3 == 1 else 0.0,
                dtype="float32" if (k + j) % 3 else "float64",
                seed=100 * k + j,
            )


def chain_cases():
    for k, configuration in enumerate(CHAINS):
        for dtype in ("float32", "float64"):
            lengths = tuple(np.random.default_rng(k).integers(0, 24, 21).tolist())
            yield ChainCase(configuration=configuration, steps=23, batch=21, lengths=lengths, dtype=dtype, seed=k)


def large_cases():
    """Work enough for every thread, with rows to share and with a single row; too slow for the scalar path."""
    for k, configuration in enumerate(CELLS):
        if configuration in LARGE:
            # 48 rows are three slabs of gradients' sums, which one and three threads sum apart and two and four do not.
            for inputs, hidden, steps, batch in ((40, 96, 20, 48 if k % 2 else 37), (24, 400, 6, 1)):
                sizes = {"input_size": inputs, "hidden_size": configuration.hidden_size(hidden)}
                yield CellCase(configuration=configuration, **sizes, steps=steps, batch=batch, dtype="float32", seed=k)


def compared(every_size=False, large=False):
    """The cases that results are hashed of."""
    return [*cell_cases(every_size), *chain_cases(), *(large_cases() if large else ())]


def results(every_size=False, large=False):
    """Every hash by name."""
    found = {}
    optim = rnnrs.optim
    optimizers = [optim.SGD, optim.RMSprop, optim.Adagrad, optim.Adam, optim.AdamW]
    for k, case in enumerate(compared(every_size, large)):
        model = case.build()
        prefix = f"{k} {case.configuration.name} {case.dtype}"
        for name, value in passes(model, case, training=True, seed=k):
            found[f"{prefix}: {name}"] = value
        found[f"{prefix}: evaluation"] = digest(model.record(case.x, **case.given, training=False).y)
        for name, value in learning(model, case, optimizers[k % len(optimizers)](1e-2)):
            found[f"{prefix}: {name}"] = value
        fresh = case.make(dtype=case.dtype, seed=k)
        found[f"{prefix}: initial"] = digest(*fresh.state_dict().values())
    for kind in ("step", "cosine"):
        for update in range(0, 120, 7):
            spec = {"schedule": kind, "warmup": 10} | (
                {"every": 9, "gamma": 0.7} if kind == "step" else {"total": 100, "floor": 0.1}
            )
            found[f"schedule {kind} {update}"] = rnnrs._core.schedule(json.dumps(spec), update).hex()
    return found


if __name__ == "__main__":
    json.dump({"simd": rnnrs._core.simd(), "results": results("every-size" in sys.argv)}, sys.stdout)
