"""Threads and processes: forks, two threads on one model, Ctrl-C, and the interpreter free during long work."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import rnnrs
from cases import assert_same_bits
from children import child

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no signals of this kind")


def data(steps=30, batch=24, features=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, steps, features)), rng.normal(size=(batch, steps, features))


def net(seed=0):
    return rnnrs.Sequential(rnnrs.LSTM(8, 32), rnnrs.Linear(32, 8), seed=seed)


def learn(model, updates=3):
    x, y = data()
    optimizer = rnnrs.optim.Adam(1e-2)
    for _ in range(updates):
        optimizer.step(model, model.value_and_grad(x, y, loss="mse")[1])
    return model.state_dict()


@pytest.fixture
def two_threads():
    before = rnnrs.get_num_threads()
    rnnrs.set_num_threads(2)
    yield
    rnnrs.set_num_threads(before)


FORKS = """
import os, signal, sys, time, warnings
import numpy as np, rnnrs
from test_threads import learn, net
warnings.simplefilter("ignore")   # Python speaks of forks in processes with threads; that is what is tried here
rnnrs.set_num_threads(2)
expected = learn(net())           # the pool is at work before every fork
for repeat in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        rnnrs.set_num_threads(2 + repeat % 2)
        found = learn(net())
        os._exit(0 if all((found[k] == v).all() for k, v in expected.items()) else 3)
    until = time.monotonic() + 20
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            sys.exit(f"child {repeat} hangs")
        time.sleep(0.002)
    if status:
        sys.exit(f"child {repeat} ended with status {status}")
    if repeat % 10 == 0:          # the parent goes on working too
        learn(net(), 1)
print("alive")
"""


@posix
def test_a_hundred_forks_after_use_train_in_the_child(run_script):
    assert run_script(FORKS, 100, timeout=300).strip() == "alive"


@posix
def test_a_fork_while_another_thread_is_at_work(run_script):
    code = FORKS.replace(
        "for repeat in range",
        "import threading\n"
        "busy = threading.Thread(target=lambda: [learn(net(), 1) for _ in iter(int, 1)], daemon=True)\n"
        "busy.start()\n"
        "for repeat in range",
    ).replace('print("alive")', 'print("alive", flush=True); os._exit(0)')
    assert run_script(code, 20, timeout=300).strip() == "alive"


def test_multiprocessing_by_fork_and_spawn(run_script, tmp_path):
    script = tmp_path / "workers.py"
    script.write_text(
        "import multiprocessing as mp, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from test_threads import learn, net\n"
        "def work(seed):\n"
        "    return float(sum(v.sum() for v in learn(net(seed)).values()))\n"
        "if __name__ == '__main__':\n"
        "    here = [work(s) for s in range(3)]\n"
        "    for method in [m for m in ('fork', 'spawn') if m in mp.get_all_start_methods()]:\n"
        "        with mp.get_context(method).Pool(2) as pool:\n"
        "            assert pool.map(work, range(3)) == here\n"
        "    print('same')\n"
    )
    assert run_script(script, timeout=120).strip() == "same"


def test_two_threads_use_one_model(two_threads):
    """Each gets what it would have got alone."""
    model = net()
    inputs = [data(seed=seed)[0] for seed in range(8)]
    expected = [model(x) for x in inputs]
    gradients = [
        model.record(x).backward(np.ones_like(y)).params["0.weight_hh_l0"]
        for x, y in zip(inputs, expected, strict=True)
    ]
    errors = []

    def work(order):
        try:
            for _ in range(10):
                for k in order:
                    assert_same_bits(model(inputs[k]), expected[k], "y")
                    tape = model.record(inputs[k])
                    got = tape.backward(np.ones_like(tape.y)).params["0.weight_hh_l0"]
                    assert_same_bits(got, gradients[k], "gradient")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in (range(8), range(7, -1, -1), [3] * 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not errors, errors


def test_one_thread_learns_while_another_looks(two_threads):
    """Updates are whole: a reader sees the parameters before or after one, and a tape that is stale says so."""
    model, x = net(), data()[0]
    outcomes = set()
    stop = threading.Event()
    errors = []

    def look():
        try:
            while not stop.is_set():
                assert np.isfinite(model(x)).all()
                try:
                    model.record(x).backward(np.ones((24, 30, 8)))
                    outcomes.add("whole")
                except rnnrs.StaleTapeError:
                    outcomes.add("stale")
                stream = model.stream()
                stream.step(np.zeros(8))
        except BaseException as error:
            errors.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    # Two writers would race for the order of updates; one does not, and its result is as if it were alone.
    try:
        found = learn(model, 40)
    finally:
        stop.set()
        reader.join(60)
    assert not errors, errors
    assert not reader.is_alive()
    for name, value in learn(net(), 40).items():
        assert_same_bits(found[name], value, name)
    assert outcomes


def test_a_stream_used_by_two_threads_stays_whole():
    model = rnnrs.LSTM(2, 8, seed=0)
    stream = model.stream()
    errors = []

    def work():
        try:
            for _ in range(2000):
                assert np.isfinite(stream.step(np.ones(2, np.float32))).all()
        except RuntimeError as error:  # Saying that it is in use is fair.
            if isinstance(error, rnnrs.Error):
                return
            errors.append(error)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors


def long_work():
    """Something that takes a second or more."""
    return rnnrs.LSTM(64, 256, seed=0), np.zeros((30000, 8, 64), np.float32)


def test_the_interpreter_is_free_during_long_work():
    """Another thread of Python goes on counting while the engine works."""
    model, x = long_work()
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.005)

    ticker = threading.Thread(target=tick)
    ticker.start()
    began = time.perf_counter()
    model(x)
    ended = time.perf_counter()
    stop.set()
    ticker.join()
    during = [t for t in ticks if began <= t <= ended]
    assert ended - began > 0.1, "the work is too short to tell"
    assert len(during) > 0.2 * (ended - began) / 0.005
    assert max(np.diff(during), default=0) < 0.5


INTERRUPTED = """
import sys, time
import numpy as np, rnnrs
from test_threads import long_work
what = sys.argv[1]
model, x = long_work()
before = model.state_dict()
rnnrs.set_num_threads(2)
tape = model.record(x[:6000], training=False) if what == "backward" else None
stream = model.stream(x.shape[1])
stream.steps(x[:7])
state = np.array(stream.state)
calls = {
    "forward": lambda: model(x),
    "record": lambda: model.record(x[:12000]),
    "backward": lambda: tape.backward(np.ones_like(tape.y)),
    "states": lambda: model.states(x[:12000]),
    "steps": lambda: stream.steps(x),
    "value_and_grad": lambda: model.value_and_grad(x[:12000], np.zeros((12000, 8, 256), np.float32), loss="mse"),
}
print("ready", flush=True)
try:
    while True:
        calls[what]()
except KeyboardInterrupt:
    print(time.time(), flush=True)
for name, value in model.state_dict().items():
    assert (value == before[name]).all()
short, again = model(x[:50])[0], model(x[:50])[0]
assert np.isfinite(short).all() and (short == again).all()
assert (np.array(stream.state) == state).all()
print("as before")
"""


@posix
@pytest.mark.parametrize("what", ["forward", "record", "backward", "states", "steps", "value_and_grad"])
def test_ctrl_c_stops_a_long_call_within_half_a_second(what, tmp_path):
    path = tmp_path / "work.py"
    path.write_text(INTERRUPTED)
    with child(path, what) as process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(0.3)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    caught, last = out.split("\n")[:2]
    assert last == "as before"
    assert float(caught) - sent < 0.5


@posix
def test_ctrl_c_in_fit_leaves_the_last_complete_update(tmp_path):
    """The parameters after Ctrl-C are those after some whole number of updates."""
    path = tmp_path / "work.py"
    path.write_text(
        "import numpy as np, rnnrs\n"
        "from test_threads import net, data\n"
        "class Watch(rnnrs.callbacks.Callback):\n"
        "    def on_update(self, run):\n"
        "        self.update = run.update\n"
        "        if run.update == 3: print('ready', flush=True)\n"
        "x, y = data(steps=200)\n"
        "model, watch = net(), Watch()\n"
        "options = dict(loss='mse', batch_size=8, shuffle=False, progress=False, seed=0)\n"
        "try:\n"
        "    model.fit(x, y, epochs=10**6, callbacks=[watch], **options)\n"
        "except KeyboardInterrupt:\n"
        "    pass\n"
        "found = model.state_dict()\n"
        "same = []\n"
        "for updates in (watch.update, watch.update + 1):\n"
        "    again = net()\n"
        "    again.fit(x, y, epochs=10**6, callbacks=[rnnrs.callbacks.StopAfter(updates=updates)], **options)\n"
        "    same.append(all((found[k] == v).all() for k, v in again.state_dict().items()))\n"
        "print(same.count(True))\n"
    )
    with child(path) as process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.strip() == "1"


def test_the_number_of_threads_is_checked():
    before = rnnrs.get_num_threads()
    for wrong in (0, -1):
        with pytest.raises((rnnrs.InvalidValueError, OverflowError)):
            rnnrs.set_num_threads(wrong)
    assert rnnrs.get_num_threads() == before


def test_many_weights_are_shared_out_with_the_same_bits(two_threads):
    """A product of one row over so many weights that threads read them together: with three, the shares are uneven."""
    layer = rnnrs.LSTM(300, 328, seed=1)
    x = np.random.default_rng(0).standard_normal((20, 1, 300), np.float32)

    def run(threads):
        rnnrs.set_num_threads(threads)
        tape = layer.record(x)
        grads = tape.backward(np.ones_like(tape.y))
        stream = layer.stream()
        steps = np.stack([stream.step(row) for row in x[:, 0]])
        return {"y": tape.y, "steps": steps[:, None], "dx": grads.x, **grads.params}

    alone = run(1)
    assert_same_bits(alone["steps"], alone["y"], "steps")
    for threads in (2, 3):
        for name, value in run(threads).items():
            assert_same_bits(value, alone[name], f"{name}, {threads} threads")
