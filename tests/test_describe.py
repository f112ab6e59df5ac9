"""What a model says of itself: the summary, where the time goes, the plan; and what importing rnnrs brings along."""

import re

import numpy as np
import pytest

import rnnrs


def net():
    return rnnrs.Sequential(
        rnnrs.Embedding(7, 4),
        rnnrs.LSTM(4, 5, num_layers=2, bidirectional=True, dropout=0.1),
        rnnrs.Dropout(0.1),
        rnnrs.Last(),
        rnnrs.Linear(10, 7),
        seed=0,
    )


def shown(capsys, model, *arguments):
    model.summary(*arguments)
    return capsys.readouterr().out


def test_the_summary_counts_parameters(capsys):
    model = net()
    text = shown(capsys, model)
    rows = [line for line in text.splitlines() if re.match(r"\d  ", line)]
    assert len(rows) == 5
    numbers = [int(row.split()[-1].replace(",", "")) for row in rows]
    values = model.state_dict()
    assert numbers == [sum(v.size for k, v in values.items() if k.startswith(f"{i}.")) for i in range(5)]
    assert model.num_parameters == sum(numbers)
    assert f"{sum(numbers):,} parameters" in text
    assert "(N, T, 10)" in rows[1]
    assert "(N, 10)" in rows[3]
    model.freeze("0.")
    assert "28 frozen" in shown(capsys, model)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (net, None),
        (lambda: rnnrs.GRU(3, 4, num_layers=3, dropout=0.5), (2, 6, 3)),
        (lambda: rnnrs.Linear(3, 4), (2, 6, 3)),
        (lambda: rnnrs.Sequential(rnnrs.RNN(3, 4), rnnrs.LayerNorm(4)), (2, 6, 3)),
    ],
)
def test_the_summary_shows_where_the_time_goes(make, shape, capsys):
    x = np.zeros((2, 6), int) if shape is None else np.zeros(shape)
    text = shown(capsys, make(), x)
    shares = [int(found) for found in re.findall(r"(\d+)%", text)]
    assert shares
    assert abs(sum(shares) - 100) <= len(shares)


@pytest.mark.parametrize(
    "model", [rnnrs.LSTM(3, 4, layer_norm=True), rnnrs.GRUCell(3, 4), rnnrs.Embedding(3, 4), net()]
)
def test_the_plan_can_be_read(model):
    text = model.explain()
    for part in ("prologue", "before", "step", "after", "accumulate", "epilogue"):
        assert part in text


def test_everything_says_what_it_is():
    for thing in (rnnrs.optim.Adam(), rnnrs.schedules.Cosine(9), rnnrs.cells.GRU(2, 3), rnnrs.losses.MSE()):
        assert type(thing).__name__ in repr(thing) or "CellSpec" in repr(thing)


def test_importing_brings_numpy_alone(run_script):
    code = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import rnnrs, rnnrs.optim, rnnrs.callbacks\n"
        "tops = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(tops - set(sys.stdlib_module_names) - {'rnnrs', 'numpy'}))\n"
    )
    assert run_script(code).strip() == "[]"
