"""Checkpointed BPTT holds little: full backpropagation through a million steps in less than 1 GiB."""

import json

import pytest

resource = pytest.importorskip("resource")

SCRIPT = """
import hashlib, json, pathlib, resource, sys
import numpy as np, rnnrs
steps, checkpoint = int(sys.argv[1]), json.loads(sys.argv[2])
lstm = rnnrs.LSTM(4, 32, seed=0)
x = np.random.default_rng(0).standard_normal((steps, 1, 4), dtype=np.float32)
tape = lstm.record(x, checkpoint=checkpoint)
dy = tape.y
dy *= np.float32(1e-3)
gradients = tape.backward(dy)
h = hashlib.sha256()
for array in (dy, *tape.state, gradients.x, *gradients.state, *gradients.params.values()):
    assert np.isfinite(array).all()
    h.update(np.ascontiguousarray(array).tobytes())
status = pathlib.Path("/proc/self/status")
if status.exists():  # what getrusage tells there begins with the size of the process that started this one
    peak = 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"peak": peak, "hash": h.hexdigest(), "dx": float(np.abs(gradients.x[0]).max())}))
"""


def run(run_script, steps, checkpoint):
    return json.loads(run_script(SCRIPT, steps, json.dumps(checkpoint), timeout=600))


def test_the_same_bits_where_both_fit(run_script):
    plain, kept = (run(run_script, 100_000, k) for k in (None, 1000))
    assert plain["hash"] == kept["hash"]
    assert kept["peak"] < plain["peak"]


def test_a_million_steps_in_less_than_a_gibibyte(run_script):
    found = run(run_script, 1_000_000, 1000)
    assert found["peak"] < 2**30, f"{found['peak'] / 2**20:.0f} MiB"
