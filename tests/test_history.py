"""The history compressor: the way up and back is exact, its description length is what a coder needs, and it learns."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnrs

CELLS = {
    "lstm": None,
    "gru": lambda width: rnnrs.cells.GRU(width, 5),
    "indrnn": lambda width: rnnrs.cells.IndRNN(width, 5),
}


def stack(levels, **options):
    """A stack with so many levels, untrained."""
    history = rnnrs.HistoryCompressor(hidden_size=6, seed=1, **options)
    history._hold([*history.levels, *(history._net(level) for level in range(1, levels))])
    return history


def spread(history, seed):
    """Weights so large that untrained nets say various things."""
    rng = np.random.default_rng(seed)
    for level in history.levels:
        level.load_state_dict({k: rng.normal(size=v.shape).astype(v.dtype) for k, v in level.state_dict().items()})
    return history


@given(data=st.data())
def test_symbols_come_back_exactly(data):
    symbols = data.draw(st.integers(1, 5))
    options = {
        "max_gap": data.draw(st.sampled_from([1, 2, 3, 30])),
        "threshold": data.draw(st.sampled_from([None, 0.0, 0.6])),
        "cell": CELLS[data.draw(st.sampled_from(sorted(CELLS)))],
        "dtype": data.draw(st.sampled_from(["float32", "float64"])),
    }
    seed = data.draw(st.integers(0, 2**32 - 1))
    history = spread(stack(data.draw(st.integers(1, 4)), symbols=symbols, **options), seed)
    rng = np.random.default_rng(seed)
    for length in (0, 1, 40, 150):
        text = rng.integers(0, symbols, length)
        events = history.transform(text)
        assert events.counts[0] == length
        back = history.inverse_transform(events)
        assert back.dtype == np.int64
        assert np.array_equal(back, text)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 3), tolerance=st.sampled_from([0.01, 0.5, 3.0]))
def test_vectors_come_back_within_the_tolerance(seed, levels, tolerance):
    history = spread(stack(levels, features=2, tolerance=tolerance, max_gap=4, dtype="float64"), seed)
    sequence = np.random.default_rng(seed).normal(size=(60, 2))
    events = history.transform(sequence)
    back = history.inverse_transform(events)
    assert back.shape == sequence.shape
    assert np.all(np.abs(back - sequence) <= tolerance)
    assert tolerance < 1 or len(events) < 60


def test_thousands_of_sequences_come_back(at_length):
    history = spread(stack(3, symbols=4, max_gap=3), 0)
    rng = np.random.default_rng(0)
    for _ in range(5000 if at_length else 300):
        text = rng.integers(0, 4, rng.integers(0, 50))
        assert np.array_equal(history.inverse_transform(history.transform(text)), text)


def test_what_is_predicted_does_not_go_up():
    history = spread(stack(2, symbols=3, max_gap=5), 3)
    text = np.random.default_rng(1).integers(0, 3, 200)
    work, events = history.work(text), history.transform(text)
    for level in range(2):
        here = work.levels == level
        assert events.counts[level] == here.sum()
        # What went up: each failure, and each time that max_gap events passed without one.
        above = events.counts[level + 1] if level == 0 else len(events)
        failures = int((~work.predicted[here]).sum())
        quiet, since = 0, 0
        for predicted in work.predicted[here]:
            since += 1
            if not predicted or since == 5:
                quiet += int(bool(predicted))
                since = 0
        assert above == failures + quiet
    assert np.all(work.surprise >= 0)


def periodic(count=12, length=60, seed=0):
    """Sequences that repeat a pattern, begun anywhere, with a rare surprise."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        text = np.resize([0, 1, 2, 3, 2, 1], length + 6)[rng.integers(6) :][:length].copy()
        text[rng.integers(0, length)] = 4
        made.append(text)
    return made


@pytest.fixture(scope="module")
def trained():
    history = rnnrs.HistoryCompressor(symbols=5, hidden_size=12, max_levels=3, max_gap=16, seed=0)
    texts = periodic()
    before = history.description_length(*texts)
    after = history.fit(texts, epochs=40, progress=False)
    return history, texts, before, after


def test_learning_shortens_the_description(trained):
    history, _, before, after = trained
    assert after.total < 0.5 * before.total
    assert after.levels[0].total < before.levels[0].total
    # A level stays only where it shortens the description.
    totals = [part.total for part in after.levels]
    assert totals == sorted(totals, reverse=True)
    assert len(history.levels) == len(totals)
    for part in after.levels:
        assert part.total == pytest.approx(part.events + part.times + part.symbols)
    assert "level 0:" in str(after)


def test_a_trained_stack_tells_little_and_loses_nothing(trained):
    history, texts, _, _ = trained
    for text in texts:
        events = history.transform(text)
        assert len(events) < len(text) / 3
        assert np.array_equal(history.inverse_transform(events), text)


def coded_bits(frequencies):
    """Bits that a range coder with whole-number frequencies emits: (start, width, total) for each symbol."""
    low, high, bits, waiting = 0, (1 << 48) - 1, 0, 0
    half, quarter = 1 << 47, 1 << 46
    for start, width, total in frequencies:
        span = high - low + 1
        low, high = low + span * start // total, low + span * (start + width) // total - 1
        while True:
            if high < half or low >= half:
                bits, waiting = bits + 1 + waiting, 0
                shift = half if low >= half else 0
            elif low >= quarter and high < half + quarter:
                waiting, shift = waiting + 1, quarter
            else:
                break
            low, high = 2 * (low - shift), 2 * (high - shift) + 1
    return bits + waiting + 2


def test_a_real_coder_reaches_the_description_length(trained):
    """The parts of level 0, coded with what its net says, in whole numbers of 2^-20."""
    history = trained[0]
    texts = periodic(40, 200, seed=5)
    part = history.description_length(*texts).levels[0]
    frequencies = []
    for text in texts:
        x = np.zeros((len(text), 5), np.float32)
        x[np.arange(1, len(text)), text[:-1]] = 1
        y = history.levels[0](x[None])[0].astype(np.float64)
        shares = np.exp(y - y.max(axis=1, keepdims=True))
        whole = np.maximum(1, np.round(shares / shares.sum(axis=1, keepdims=True) * 2**20)).astype(np.int64)
        for symbol, row in zip(text, whole, strict=True):
            frequencies.append((int(row[:symbol].sum()), int(row[symbol]), int(row.sum())))
    assert part.times == 0
    assert coded_bits(frequencies) == pytest.approx(part.symbols, rel=0.01)


def test_a_stream_is_the_whole_a_step_at_a_time(trained):
    history, texts, _, _ = trained
    work, stream = history.work(texts[0]), history.stream()
    steps = [stream.step(symbol) for symbol in texts[0]]
    assert steps == [int((work.times == t).sum()) for t in range(len(texts[0]))]
    pieces = history.stream()
    parts = [pieces.push(texts[0][:7]), pieces.push(texts[0][7:])]
    assert np.array_equal(np.concatenate([part.surprise for part in parts]), work.surprise)
    assert np.array_equal(np.concatenate([part.levels for part in parts]), work.levels)


def test_it_learns_online():
    history = stack(2, symbols=4)
    text = np.resize([0, 1, 2, 3, 3, 2], 3000)
    work = history.stream(rnnrs.optim.Adam(1e-2), bptt=12).push(text)
    lowest = work.levels == 0
    first, last = work.predicted[lowest][:100], work.predicted[lowest][-100:]
    assert last.mean() > 0.95 > first.mean()
    # The nets are those of the stack: what they learned stays.
    assert history.work(text).predicted.mean() > 0.9
    assert np.array_equal(history.inverse_transform(history.transform(text)), text)


def test_the_same_bits_for_any_number_of_threads():
    found = []
    before = rnnrs.get_num_threads()
    try:
        for threads in (1, 2):
            rnnrs.set_num_threads(threads)
            history = rnnrs.HistoryCompressor(symbols=5, hidden_size=8, max_levels=2, seed=3)
            history.fit(periodic(8, 30), epochs=3, progress=False)
            found.append([value.tobytes() for level in history.levels for value in level.state_dict().values()])
    finally:
        rnnrs.set_num_threads(before)
    assert found[0] == found[1]


def test_files_and_pickles(trained, tmp_path):
    history, texts, _, _ = trained
    history.save(tmp_path / "history.rnnrs")
    for other in (rnnrs.load(tmp_path / "history.rnnrs"), pickle.loads(pickle.dumps(history))):
        assert isinstance(other, rnnrs.HistoryCompressor)
        assert repr(other) == repr(history)
        events, again = history.transform(texts[0]), other.transform(texts[0])
        assert np.array_equal(events.gaps, again.gaps)
        assert np.array_equal(other.inverse_transform(again), texts[0])
        other.fit(texts[:2], epochs=1, progress=False)
    data = bytearray((tmp_path / "history.rnnrs").read_bytes())
    for place in (3, 40, len(data) // 2, len(data) - 1):
        changed = data.copy()
        changed[place] ^= 1
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(rnnrs.FileError):
            rnnrs.load(tmp_path / "changed")
    (tmp_path / "cut").write_bytes(data[:-10])
    with pytest.raises(rnnrs.FileError, match="cut or changed"):
        rnnrs.load(tmp_path / "cut")


def test_a_picture(trained, tmp_path):
    pytest.importorskip("matplotlib")
    trained[0].plot(trained[1][0], tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_onnx(trained, tmp_path):
    pytest.importorskip("rnnrs_onnx")
    trained[0].to_onnx(tmp_path / "out")
    rule = json.loads((tmp_path / "out" / "history.json").read_text())
    assert rule["levels"] == len(trained[0].levels)
    assert all((tmp_path / "out" / f"level{k}.onnx").exists() for k in range(rule["levels"]))


def test_what_is_wrong_is_told():
    for options in ({}, {"symbols": 3, "features": 2}, {"symbols": 0}, {"symbols": 3, "max_gap": 0}):
        with pytest.raises(rnnrs.InvalidValueError):
            rnnrs.HistoryCompressor(**options)
    with pytest.raises(rnnrs.InvalidValueError, match="threshold"):
        rnnrs.HistoryCompressor(symbols=3, threshold=1.5)
    with pytest.raises(rnnrs.InvalidValueError, match="tolerance"):
        rnnrs.HistoryCompressor(features=3, tolerance=0.0)
    history = stack(2, symbols=3)
    with pytest.raises(rnnrs.InvalidValueError, match="symbols 0 to 2"):
        history.transform([0, 3])
    with pytest.raises(rnnrs.DtypeError, match="expected integers"):
        history.transform([0.5])
    with pytest.raises(rnnrs.ShapeError):
        history.transform([[0, 1]])
    with pytest.raises(rnnrs.InvalidValueError, match="at least one"):
        history.fit([])
    with pytest.raises(rnnrs.DtypeError, match="what transform returns"):
        history.inverse_transform([1, 2])
    vectors = stack(1, features=2)
    with pytest.raises(rnnrs.InvalidValueError, match="finite"):
        vectors.transform([[0.0, np.nan]])


@pytest.mark.parametrize("change", ["gap", "count", "width", "symbol", "negative"])
def test_events_that_are_none(change):
    history = spread(stack(2, symbols=3), 2)
    events = history.transform(np.random.default_rng(0).integers(0, 3, 50))
    gaps, contents, counts = events.gaps.copy(), events.contents.copy(), list(events.counts)
    if change == "gap":
        gaps[0, 0] = 1000
    if change == "count":
        counts[0] = 3
    if change == "width":
        gaps = gaps[:, :1].copy()
    if change == "symbol":
        contents[:] = 7
    if change == "negative":
        gaps[0, 0] = -1
    from rnnrs._compressor import Events

    with pytest.raises(rnnrs.Error):
        history.inverse_transform(Events(gaps, contents, tuple(counts)))
