"""The results page says what was measured and no more, and its runner makes no run twice."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from results import report, store  # noqa: E402
from results.cases import CASES  # noqa: E402
from results.store import Run, Store  # noqa: E402

ORDER = {"task": "6a", "seed": 1, "epochs": 2, "updates": 2}


def test_every_figure_is_of_a_run_of_a_case():
    runs = {run.name: run.settings for case in CASES for run in case.runs}
    measured = json.loads(store.MEASURED.read_text(encoding="utf-8"))
    assert measured
    assert {name: entry["settings"] for name, entry in measured.items()} == {name: runs.get(name) for name in measured}


def test_the_page_is_written_from_the_figures(tmp_path):
    page = report.write(Store(), tmp_path).read_text(encoding="utf-8")
    assert page == (report.DOCS / "results.md").read_text(encoding="utf-8")
    for picture in tmp_path.glob("*.png"):
        assert (report.DOCS / picture.name).stat().st_size < 100_000


def test_a_run_is_made_once_for_its_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "UNFINISHED", tmp_path / "unfinished")
    made = []
    example = store.example

    def counted(name):
        made.append(name)
        return example(name)

    monkeypatch.setattr(store, "example", counted)
    path = tmp_path / "results.json"
    first = Store(path).measure(Run("order/6a/1", "07_temporal_order", ORDER))
    assert Store(path).measure(Run("order/6a/1", "07_temporal_order", ORDER)) == first
    assert len(made) == 1
    Store(path).measure(Run("order/6a/1", "07_temporal_order", {**ORDER, "seed": 2}))
    assert len(made) == 2


def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(tmp_path):
    order = store.example("07_temporal_order")
    whole = order.train(**{**ORDER, "epochs": 4})
    checkpoint = tmp_path / "checkpoint"
    order.train(**ORDER, path=checkpoint)
    rest = order.train(**{**ORDER, "epochs": 4}, path=checkpoint)
    assert {**rest, "seconds": 0} == {**whole, "seconds": 0}


@pytest.mark.parametrize("language", ["anbn", "anbncn"])
def test_counting_tells_words_from_others(language):
    counting = store.example("04_counting")
    letters = counting.LETTERS[language]
    tokens, targets, lengths, _ = counting.texts(letters, 9, 50, np.random.default_rng(0))
    for row, target, length in zip(tokens, targets[..., 0], lengths, strict=True):
        for end in range(1, length + 1):
            text = "".join("abc"[token] for token in row[:end])
            n = text.count("a")
            assert target[end - 1] == (text == "".join(letter * n for letter in "abc"[:letters]))


def test_reber_strings_follow_the_grammar():
    reber = store.example("05_reber")
    drawn = reber.strings(200, set(), np.random.default_rng(0))
    for text, legal in drawn:
        assert text[0] == "B"
        assert text[1] == text[-2]
        assert text[-1] == "E"
        assert len(legal) == len(text) - 1
        assert all(symbol in may for symbol, may in zip(text[1:], legal, strict=True))
    others = reber.strings(50, {text for text, _ in drawn}, np.random.default_rng(1))
    assert not {text for text, _ in others} & {text for text, _ in drawn}


def test_sums_are_of_the_two_marked_numbers():
    adding = store.example("06_adding")
    for sums, scale in ((adding.sums_1997, lambda total: 0.5 + total / 4), (adding.sums_2018, lambda total: total)):
        x, y = sums(100, 500, np.random.default_rng(0))
        assert (x[:, :, 1].sum(axis=1) == 2).all()
        np.testing.assert_allclose(y[:, 0], scale((x[:, :, 0] * x[:, :, 1]).sum(axis=1)))


@pytest.mark.parametrize(("task", "symbols"), [("6a", 2), ("6b", 3)])
def test_the_class_is_the_order(task, symbols):
    order = store.example("07_temporal_order")
    tokens, classes, lengths = order.texts(task, 100, np.random.default_rng(0))
    for row, number, length in zip(tokens, classes, lengths, strict=True):
        text = "".join(order.SYMBOLS[token] for token in row[:length])
        found = [symbol for symbol in text if symbol in "XY"]
        assert (text[0], text[-1], len(found)) == ("E", "B", symbols)
        assert number == int("".join("01"[symbol == "Y"] for symbol in found), 2)


def test_music_is_as_wide_as_its_parameters_allow():
    music = store.example("08_music")
    for cell in music.LAYERS:
        units = music.width(cell, 50_000)
        assert music.parameters(music.network(cell, units, 0.0, 0)) <= 50_000
        assert music.parameters(music.network(cell, units + 1, 0.0, 0)) > 50_000
