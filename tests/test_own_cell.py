"""Cells of one's own: traced, run, trained, saved, loaded without their class; and errors that name the user's line."""

import pickle
import re
import traceback

import numpy as np
import pytest

import rnnrs
from cases import assert_same_bits
from rnnrs import ops
from rnnrs.testing import check_cell


class MGU(rnnrs.Cell):
    """The minimal gated unit (Zhou et al. 2016)."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input=input_size, state={"h": hidden_size})

    def step(self, x, h):
        f = ops.sigmoid(self.linear("f", x, h))
        n = ops.tanh(self.linear("n", x, f * h))
        return h + f * (n - h)


class LSTM(rnnrs.Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input=input_size, state={"h": hidden_size, "c": hidden_size})

    def step(self, x, h, c):
        i, f, o = (ops.sigmoid(self.linear(gate, x, h)) for gate in "ifo")
        c = f * c + i * ops.tanh(self.linear("g", x, h))
        return o * ops.tanh(c), c


class Everything(rnnrs.Cell):
    """Parameters of every rank, constants, states of every rank, a cell inside used twice, draws, y apart."""

    def __init__(self, input_size, hidden_size=4):
        super().__init__(input=(2, input_size // 2), state={"h": hidden_size, "m": (2, 2), "s": ()})
        self.second = self.param("second", (hidden_size, 2, 2), init=rnnrs.init.Normal(0.5))
        self.scale = self.param("scale", init=2.0)
        self.mask = self.constant(np.arange(hidden_size) % 2)
        self.inner = [rnnrs.cells.GRU(hidden_size, hidden_size), MGU(2, hidden_size)]

    def step(self, x, h, m, s):
        u = self.param("u", h.shape)
        z = ops.tanh(ops.bilinear(self.second, x[:, 0], m[1]) + u * h)
        y, h = self.inner[0](z * self.mask, h)
        y, h = self.inner[0](ops.dropout(y, 0.2), h)
        _, h = self.inner[1](x[0, :2] * self.scale, h)
        m = 0.5 * m + ops.outer(h[:2], np.array([1.0, -1.0])) * ops.uniform(0.5, 1.0, per_sequence=True)
        s = ops.tanh(s + ops.mean(y))
        return self.linear("out", y, ops.reshape(m, -1), size=3), (h, m, s)


def mgu(p, x, h):
    f = 1 / (1 + np.exp(-(x @ p["f.weight_x"].T + h @ p["f.weight_h"].T + p["f.bias"])))
    n = np.tanh(x @ p["n.weight_x"].T + (f * h) @ p["n.weight_1"].T + p["n.bias"])
    h = (1 - f) * h + f * n
    return h, h


@pytest.mark.parametrize(
    ("cell", "reference"),
    [(MGU(3, 5), mgu), (LSTM(3, 4), None), (Everything(4), None)],
    ids=["mgu", "lstm", "everything"],
)
def test_the_laws(cell, reference, capsys):
    report = check_cell(cell, reference, cases=4)
    assert capsys.readouterr().out.strip() == str(report)
    assert [r.number for r in report.results if not r.passed] == ([] if reference else [2])


class Late(rnnrs.Cell):
    """Tells what its state was before the step."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input=input_size, state={"h": hidden_size})

    def step(self, x, h):
        return h, ops.tanh(self.linear("h", x, h))


def test_a_state_before_the_step_may_be_the_output():
    layer = rnnrs.Recurrent(Late(3, 5), seed=1)
    x = np.random.default_rng(0).standard_normal((70, 3), np.float32)
    y, _ = layer(x)
    assert not y[0].any()
    assert y[1:].any(1).all()
    one, several = layer.stream(), layer.stream()
    assert_same_bits(np.stack([one.step(row) for row in x]), y, "single steps")
    assert_same_bits(several.steps(x), y, "several steps")
    assert_same_bits(np.asarray(one.state), np.asarray(several.state), "state")


def own_from_built_in(own, built_in, gates, rows):
    """Gives the own cell the parameters of PyTorch's layout; the two biases are added."""
    values = built_in.state_dict()
    for k, gate in enumerate(gates):
        part = slice(k * rows, (k + 1) * rows)
        own.load_state_dict(
            {
                f"{gate}.weight_x_l0": values["weight_ih_l0"][part],
                f"{gate}.weight_h_l0": values["weight_hh_l0"][part],
                f"{gate}.bias_l0": values["bias_ih_l0"][part] + values["bias_hh_l0"][part],
            },
            strict=False,
        )


def test_an_lstm_of_ones_own_is_the_built_in():
    own = rnnrs.Recurrent(LSTM(3, 5), dtype="float64")
    built_in = rnnrs.LSTM(3, 5, dtype="float64", seed=0)
    own_from_built_in(own, built_in, "ifgo", 5)
    x = np.random.default_rng(0).normal(size=(7, 4, 3))
    (y, state), (wanted, last) = own(x), built_in(x)
    np.testing.assert_allclose(y, wanted, rtol=1e-13)
    np.testing.assert_allclose(state[1], last[1], rtol=1e-13)
    # The same plan: in the time loop one product and one program each way.
    loops = [re.findall(r"step \(each step\)\n(.*?)  after", model.explain(), re.S) for model in (own, built_in)]
    kinds = [[re.findall(r"^    (\w+) ", loop, re.M) for loop in each] for each in loops]
    assert kinds[0] == kinds[1] == [["gemm", "block"], ["block", "gemm", "block"]]


def test_it_learns_and_streams():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (64, 6, 1)).astype(float)
    y = x.sum(1) % 2
    model = rnnrs.Sequential(rnnrs.Recurrent(MGU(1, 12)), rnnrs.Last(), rnnrs.Linear(12, 1), seed=0)
    before = model.evaluate(x, y, loss="mse")["loss"]
    model.fit(x, y, loss="mse", optimizer=rnnrs.optim.Adam(2e-2), epochs=60, progress=False)
    assert model.evaluate(x, y, loss="mse")["loss"] < 0.3 * before
    layer = rnnrs.Recurrent(MGU(1, 12), seed=0)
    stream = layer.stream()
    np.testing.assert_array_equal([stream.step(x_t) for x_t in np.float32(x[0])], layer(x[0])[0])


def test_layers_above_take_the_width_below():
    layer = rnnrs.Recurrent(MGU(3, 5), num_layers=3, bidirectional=True, dropout=0.1, residual=True, seed=0)
    assert layer.state_dict()["f.weight_x_l0"].shape == (5, 3)
    assert layer.state_dict()["f.weight_x_l2_reverse"].shape == (5, 10)
    y, h = layer(np.zeros((4, 2, 3)))
    assert y.shape == (4, 2, 10)
    assert h.shape == (6, 2, 5)

    for directions in (1, 2):
        layer = rnnrs.Recurrent(MGU(3, 5), num_layers=3, bidirectional=directions == 2, dense=True, seed=0)
        assert layer.state_dict()["f.weight_x_l2"].shape == (5, 3 + 2 * 5 * directions)
        assert layer(np.zeros((4, 2, 3)))[0].shape == (4, 2, 3 + 3 * 5 * directions)

    class Fixed(rnnrs.Cell):
        def __init__(self, width):
            super().__init__(input=3, state={"h": width})

        def step(self, x, h):
            return ops.tanh(self.linear("h", x, h))

    rnnrs.Recurrent(Fixed(3), num_layers=4)
    with pytest.raises(rnnrs.UnsupportedError, match="an argument named input_size"):
        rnnrs.Recurrent(Fixed(4), num_layers=2)


def test_regularisation_is_said_to_the_layer():
    x = np.random.default_rng(0).normal(size=(9, 2, 3))
    plain = rnnrs.Recurrent(MGU(3, 5), seed=0)
    for option in ("zoneout", "recurrent_dropout"):
        layer = rnnrs.Recurrent(MGU(3, 5), seed=0, **{option: 0.5})
        drawn = [layer.record(x, seed=seed).y for seed in (0, 0, 1)]
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert (drawn[0] != drawn[2]).any()
        same = rnnrs.Recurrent(rnnrs.cells.GRU(3, 5), seed=0, **{option: 0.5})
        wanted = rnnrs.GRU(3, 5, seed=0, **{option: 0.5})
        np.testing.assert_array_equal(same.record(x, seed=3).y, wanted.record(x, seed=3).y)
        with pytest.raises(rnnrs.InvalidValueError, match=option):
            rnnrs.Recurrent(rnnrs.cells.GRU(3, 5, **{option: 0.1}), **{option: 0.5})
        with pytest.raises(rnnrs.InvalidValueError, match=option):
            rnnrs.Recurrent(MGU(3, 5), **{option: 1.5})
    zoned = rnnrs.Recurrent(MGU(3, 5), seed=0, zoneout=0.5)
    assert (zoned(x)[0] != plain(x)[0]).any()


def test_a_file_needs_no_class(tmp_path, run_script):
    model = rnnrs.Sequential(
        rnnrs.Recurrent(Everything(4)), rnnrs.Recurrent(MGU(3, 2), num_layers=2, zoneout=0.1), seed=0
    )
    model.metadata["note"] = "kept"
    model.save(tmp_path / "model.safetensors")
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    np.save(tmp_path / "x.npy", x)
    run_script(
        "import numpy as np, rnnrs\n"
        "model = rnnrs.load('model.safetensors')\n"
        "x = np.load('x.npy')\n"
        "np.save('y.npy', model(x))\n"
        "np.save('dx.npy', model.record(x, seed=5).backward(np.ones((2, 5, 2), 'f4')).x)\n"
        "model.fit(x, np.zeros((2, 5, 2)), loss='mse', seed=1, progress=False)\n"
        "model.save('again.safetensors')\n",
        folder=tmp_path,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model(x))
    gradient = model.record(x, seed=5).backward(np.ones((2, 5, 2), "f4")).x
    np.testing.assert_array_equal(np.load(tmp_path / "dx.npy"), gradient)
    model.fit(x, np.zeros((2, 5, 2)), loss="mse", seed=1, progress=False)
    again = rnnrs.load(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(again(x), model(x))
    assert again.metadata == {"note": "kept"}


def test_what_a_file_holds_goes_on_as_a_cell(tmp_path):
    layer = rnnrs.Recurrent(MGU(3, 3), num_layers=2, seed=0)
    layer.save(tmp_path / "model.safetensors")
    loaded = rnnrs.load(tmp_path / "model.safetensors")
    assert type(loaded) is rnnrs.Recurrent
    assert loaded.cell == layer.cell
    assert hash(loaded.cell) == hash(layer.cell)
    assert repr(loaded.cell) == "<cell MGU>"
    assert str(loaded.cell.equations()) == str(MGU(3, 3).equations())
    assert (loaded.input_size, loaded.hidden_size, loaded.num_layers) == (3, 3, 2)
    rnnrs.Recurrent(loaded.cell, num_layers=2, bidirectional=False, zoneout=0.2)
    with pytest.raises(rnnrs.UnsupportedError, match="num_layers: expected 2"):
        rnnrs.Recurrent(loaded.cell, num_layers=3)
    assert loaded.cell != rnnrs.cells.GRU(3, 3)


def test_pickle_and_copies():
    layer = rnnrs.Recurrent(Everything(4), seed=0)
    x = np.random.default_rng(0).normal(size=(5, 4))
    again = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(again(x)[0], layer(x)[0])
    cell = pickle.loads(pickle.dumps(MGU(3, 5)))
    assert str(cell.equations()) == str(MGU(3, 5).equations())
    rnnrs.Recurrent(cell, num_layers=2)


class Simple(rnnrs.Cell):
    """A cell by its step alone."""

    def __init__(self, body, state):
        super().__init__(input=3, state=state)
        self.body = body

    def step(self, x, *states):
        return self.body(self, x, *states)


def weight_normalised(c, x, h):
    """Salimans and Kingma (2016): the weight is made of parameters, once a call."""
    v = c.param("v", (3, 3))
    return ops.tanh(ops.linear(x, v * ops.reshape(1 / ops.sqrt(ops.sum(v * v, 1)), (-1, 1))) + h)


ONE, MATRIX = {"h": 3}, {"m": (3, 3)}


@pytest.mark.parametrize(
    ("body", "state"),
    [
        pytest.param(lambda c, x, h: (c.param("w", 3), ops.tanh(h + x)), ONE, id="y is a parameter"),
        pytest.param(lambda c, x, h: (1.0, ops.tanh(h + x)), ONE, id="y is a number"),
        pytest.param(lambda c, x, h: (np.arange(3.0), ops.tanh(h + x)), ONE, id="y is an array"),
        pytest.param(lambda c, x, h: (x, ops.tanh(h + x)), ONE, id="y is x"),
        pytest.param(lambda c, x, h: (h, ops.tanh(h + x)), ONE, id="y is the state before"),
        pytest.param(lambda c, x, h: x, ONE, id="the state is x"),
        pytest.param(lambda c, x, h: (x, h), ONE, id="the state stays"),
        pytest.param(lambda c, x, h: (h * x, np.arange(3.0)), ONE, id="the state is an array"),
        pytest.param(lambda c, x, h: (h * x, c.param("w", 3)), ONE, id="the state is a parameter"),
        pytest.param(lambda c, x, h: (h * x, 2 * c.param("w", 3)), ONE, id="the state is made of a parameter"),
        pytest.param(lambda c, x: 2 * x, {}, id="no state"),
        pytest.param(lambda c, x: c.param("w", 3, init=1.0), {}, id="no state and a parameter"),
        pytest.param(lambda c, x, s: ops.tanh(s + ops.sum(x)), {"s": ()}, id="a number as state"),
        pytest.param(lambda c, x, m: (m[1], ops.tanh(m @ ops.transpose(m) + x)), MATRIX, id="a matrix as state"),
        pytest.param(lambda c, x, a, b: (b, ops.tanh(a + x)), {"a": 3, "b": 3}, id="states change places"),
        pytest.param(lambda c, x, h: ops.tanh(h + c.param("w", 3)), ONE, id="x is not used"),
        pytest.param(lambda c, x, h: (ops.normal(0, 1, 3), ops.uniform(0, 1, 3)), ONE, id="noise alone"),
        pytest.param(lambda c, x, h: (h[1:], ops.concat([h[1:], x[:1]])), ONE, id="a shift register"),
        pytest.param(weight_normalised, ONE, id="weight normalisation"),
        pytest.param(lambda c, x, h: ops.linear(h, c.param("v", (3, 3)) * np.tri(3)) + x, ONE, id="a mask"),
        pytest.param(lambda c, x, h: ops.tanh(c.param("v", (3, 3)) @ h + x @ c.param("u", (3, 3))), ONE, id="@"),
        pytest.param(lambda c, x, h: ops.tanh(c.param("v", (3, 3)) @ c.param("w", 3) + x + h), ONE, id="@ before"),
        pytest.param(lambda c, x, h: ops.tanh(ops.linear(x, np.tri(3)) + h), ONE, id="a constant weight"),
        pytest.param(lambda c, x, m: ops.tanh(c.param("v", (3, 3)) @ m + x), MATRIX, id="a parameter times a matrix"),
        pytest.param(lambda c, x, h: c.param("v", (3, 3))[ops.argmax(x)] + h, ONE, id="a row of a parameter"),
        pytest.param(lambda c, x, m: (m[ops.argmax(x)], ops.tanh(m + x)), MATRIX, id="a row of a state"),
        pytest.param(lambda c, x, h: ops.take(np.arange(3.0), ops.argsort(x)) + h, ONE, id="ranks"),
        pytest.param(lambda c, x, h: ops.linear(x, c.param("v", (2, 3, 3))[1]) + h, ONE, id="a part of rank 3"),
        pytest.param(lambda c, x, h: ops.select(np.array([True, False, True]), x, h), ONE, id="truth values"),
    ],
)
def test_what_a_step_may_be(body, state):
    check_cell(Simple(body, state), cases=2, simd=False, verbose=False)


def test_bounds_are_kept_by_optimizers():
    cell = Simple(lambda c, x, h: ops.tanh(c.param("u", 3, init=0.9, bound=1.0) * h + x), ONE)
    layer = rnnrs.Recurrent(cell, seed=0)
    x = np.ones((4, 5, 3))
    _, gradients = layer.value_and_grad(x, 2 * x, loss="mse")
    rnnrs.optim.SGD(1e6).step(layer, gradients)
    assert (np.abs(layer.state_dict()["u_l0"]) == 1.0).all()
    for bound in (0.0, -1.0, float("nan")):
        with pytest.raises(rnnrs.InvalidValueError, match="bound"):
            rnnrs.Recurrent(Simple(lambda c, x, h, b=bound: c.param("u", 3, bound=b) * h, ONE))


def test_the_summary_names_the_cell(capsys):
    rnnrs.Sequential(rnnrs.Recurrent(Everything(4)), rnnrs.Linear(3, 2)).summary()
    assert re.search(r"0 +Everything +\(N, T, 3\)", capsys.readouterr().out)


def test_cells_inside():
    """Parameters carry the attribute's name; a cell used twice has one set of them; its gradients add."""
    layer = rnnrs.Recurrent(Everything(4), seed=0, dtype="float64")
    names = [name.removesuffix("_l0") for name in layer.state_dict()]
    assert "inner.0.weight_ih" in names
    assert "inner.1.f.weight_x" in names
    assert len(names) == len(set(names)) == 4 + 6 + 3 + 3

    class Wrapped(rnnrs.Cell):
        def __init__(self, input_size, hidden_size):
            super().__init__(input=input_size, state={"h": hidden_size, "c": hidden_size})
            self.lstm = rnnrs.cells.LSTM(input_size, hidden_size)

        def step(self, x, h, c):
            return self.lstm(x, h, c)

    x = np.random.default_rng(0).normal(size=(6, 2, 3))
    wrapped, plain = rnnrs.Recurrent(Wrapped(3, 4), seed=0), rnnrs.LSTM(3, 4, seed=1)
    plain.load_state_dict({name.removeprefix("lstm."): v for name, v in wrapped.state_dict().items()})
    np.testing.assert_array_equal(wrapped(x)[0], plain(x)[0])


def test_draws_differ_from_each_other_and_stay_with_a_cell_inside():
    class Noise(rnnrs.Cell):
        def __init__(self, **how):
            super().__init__(input=1, state={})
            self.how = how

        def step(self, x):
            draw = lambda: ops.normal(0.0, 1.0, 5, **self.how)  # noqa: E731
            return ops.concat([draw(), draw()]) + x

    class Two(rnnrs.Cell):
        def __init__(self):
            super().__init__(input=1, state={})
            self.noise = Noise()

        def step(self, x):
            return ops.concat([self.noise(x)[0], self.noise(x)[0]])

    zeros = np.zeros((3, 2, 1))
    y = rnnrs.Recurrent(Noise(), seed=0).record(zeros, seed=0).y
    assert len(np.unique(y)) == y.size
    y = rnnrs.Recurrent(Two(), seed=0).record(zeros, seed=0).y
    assert len(np.unique(y)) == y.size
    y = rnnrs.Recurrent(Noise(per_sequence=True), seed=0).record(zeros, seed=0).y
    assert (y == y[0]).all()
    assert len(np.unique(y)) == y.size // 3
    assert not rnnrs.Recurrent(Noise(), seed=0)(zeros)[0].any()


def test_parameters_start_as_said():
    class Cell(rnnrs.Cell):
        def __init__(self):
            super().__init__(input=4, state={"h": 25})
            self.a = self.param("a", 1000, init=rnnrs.init.Normal(2.0))
            self.b = self.param("b", (100, 10), init=rnnrs.init.Uniform(3.0))

        def step(self, x, h):
            z = self.linear("z", x, h, bias=rnnrs.init.Constant(-1.0)) + self.param(
                "e", (), init=rnnrs.init.Between(7, 8)
            )
            return z + ops.sum(self.a) + ops.sum(self.b) + self.param("c", init=0.5) * self.param("d", (2,))[0]

    values = rnnrs.Recurrent(Cell(), seed=0).state_dict()
    assert abs(values["a_l0"].std() - 2.0) < 0.15
    assert 2.9 < np.abs(values["b_l0"]).max() < 3.0
    assert (values["z.bias_l0"] == -1.0).all()
    assert 0.15 < np.abs(values["z.weight_x_l0"]).max() < 0.2
    assert values["c_l0"] == 0.5
    assert 7 <= values["e_l0"] < 8
    assert np.abs(values["d_l0"]).max() < 0.2
    assert repr(rnnrs.init.Normal(2.0)) == "Normal(2.0)"
    assert repr(rnnrs.init.Between(0, 2)) == "Between(0.0, 2.0)"
    assert rnnrs.init.Normal(2.0) == rnnrs.init.Normal(2) != rnnrs.init.Uniform(2.0)
    for wrong in (rnnrs.init.Normal, rnnrs.init.Uniform):
        with pytest.raises(rnnrs.InvalidValueError, match="at least 0"):
            wrong(-1.0)
    with pytest.raises(rnnrs.DtypeError, match="a number"):
        rnnrs.init.Constant("x")


def stepping(step, state=None, size=3, before=lambda self: None):
    """A cell with this step."""

    class Cell(rnnrs.Cell):
        def __init__(self):
            super().__init__(input=size, state={"h": 4} if state is None else state)
            before(self)

    Cell.step = step
    return Cell()


def wrong_if(self, x, h):
    if h[0] > 0:  # here
        return h
    return -h


def wrong_max(self, x, h):
    return max(h[0], h[1]) * h  # here


def wrong_shape(self, x, h):
    z = ops.tanh(h)
    return z + x  # here


def wrong_product(self, x, h):
    return ops.linear(x, self.param("w", (4, 5)))  # here


def wrong_varying_weight(self, x, h):
    return ops.linear(h, ops.outer(h, h))  # here


def wrong_numpy(self, x, h):
    return np.tanh(h)  # here


def wrong_numpy_function(self, x, h):
    return h + np.concatenate([h, h])  # here


def wrong_float(self, x, h):
    return h * float(h[0])  # here


def wrong_array(self, x, h):
    return h * np.asarray(h)  # here


def wrong_twice(self, x, h):
    z = self.linear("z", x)
    return h + z + self.linear("z", h)  # here


def wrong_operand(self, x, h):
    return h + "1"  # here


def wrong_index(self, x, h):
    return h + x[4]  # here


def wrong_step_of_slice(self, x, h):
    return ops.concat([h[::2], h[1::2]])  # here


def wrong_power(self, x, h):
    return h**0.5  # here


def wrong_axis(self, x, h):
    return h + ops.sum(x, 1)  # here


def wrong_arithmetic_on_an_index(self, x, h):
    return h * ops.argmax(h)  # here


def wrong_index_as_number(self, x, h):
    return ops.pick(h, x[0]) + h  # here


def wrong_index_range(self, x, h):
    return x[ops.argsort(h)]  # here


def wrong_probability(self, x, h):
    return ops.dropout(h, 1.0)  # here


def wrong_values_of_linear(self, x, h):
    return self.linear("z", ops.outer(h, h))  # here


def wrong_reshape(self, x, h):
    return ops.reshape(h, (2, 3))  # here


def wrong_nan(self, x, h):
    return h * float("nan")  # here


def wrong_surrogate(self, x, h):
    return ops.step(h, surrogate="none")  # here


def wrong_infinite_size(self, x, h):
    return h + ops.sum(ops.broadcast(x[0], (2**40, 2**40)))  # here


def wrong_states_inside(self, x, h):
    return rnnrs.cells.LSTM(3, 4)(x, h)[0]  # here


def wrong_width_inside(self, x, h):
    return rnnrs.cells.GRU(2, 4)(x, h)[0]  # here


LINES = [
    (wrong_if, rnnrs.DtypeError, "ops.select"),
    (wrong_max, rnnrs.DtypeError, "ops.maximum"),
    (wrong_shape, rnnrs.ShapeError, r"add: expected shapes that meet, got \(4,\) and \(3,\)"),
    (wrong_product, rnnrs.ShapeError, r"\(5\)"),
    (wrong_varying_weight, rnnrs.InvalidValueError, "ops.matmul"),
    (wrong_numpy, rnnrs.DtypeError, "numpy.tanh"),
    (wrong_numpy_function, rnnrs.DtypeError, "numpy.concatenate"),
    (wrong_float, rnnrs.DtypeError, "has no numbers"),
    (wrong_array, rnnrs.DtypeError, "has no numbers"),
    (
        wrong_twice,
        rnnrs.InvalidValueError,
        r"'z.weight_h'|'z.bias': expected a new name, got that of .*test_own_cell.py:\d+",
    ),
    (wrong_operand, rnnrs.DtypeError, "got str"),
    (wrong_index, rnnrs.ShapeError, "extent of 3, got 4"),
    (wrong_step_of_slice, rnnrs.UnsupportedError, "step 1"),
    (wrong_power, rnnrs.InvalidValueError, "ops.sqrt"),
    (wrong_axis, rnnrs.ShapeError, "axis"),
    (wrong_arithmetic_on_an_index, rnnrs.DtypeError, "index"),
    (wrong_index_as_number, rnnrs.DtypeError, "argmax"),
    (wrong_index_range, rnnrs.ShapeError, "below 3"),
    (wrong_probability, rnnrs.InvalidValueError, r"\[0, 1\)"),
    (wrong_values_of_linear, rnnrs.ShapeError, "vectors"),
    (wrong_reshape, rnnrs.ShapeError, r"\(2, 3\)"),
    (wrong_nan, rnnrs.InvalidValueError, "finite"),
    (wrong_surrogate, rnnrs.InvalidValueError, "fast_sigmoid"),
    (wrong_infinite_size, rnnrs.ShapeError, "elements"),
    (wrong_states_inside, rnnrs.ShapeError, r"expected 2 states \(h, c\), got 1"),
    (wrong_width_inside, rnnrs.ShapeError, r"expected shape \(2,\), got \(3,\)"),
]


def marked_line(function):
    """The line of a function that says # here."""
    import inspect

    lines, first = inspect.getsourcelines(function)
    return first + next(k for k, line in enumerate(lines) if "# here" in line)


@pytest.mark.parametrize(("step", "kind", "message"), LINES, ids=lambda v: getattr(v, "__name__", ""))
def test_an_error_names_the_users_line(step, kind, message):
    with pytest.raises(kind, match=message) as raised:
        rnnrs.Recurrent(stepping(step))
    line = marked_line(step)
    assert f"test_own_cell.py:{line}: " in str(raised.value)
    # The traceback ends there too.
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (__file__, line)


def returns(value):
    def step(self, x, h):
        return value(x, h)  # here

    return step


@pytest.mark.parametrize(
    ("step", "state", "kind", "message"),
    [
        (returns(lambda x, h: None), None, rnnrs.DtypeError, "got NoneType"),
        (returns(lambda x, h: (h, h, h)), None, rnnrs.InvalidValueError, r"1 values or 2, got 3"),
        (returns(lambda x, h: x), None, rnnrs.ShapeError, r"state 'h': expected shape \(4,\) after it, got \(3,\)"),
        (returns(lambda x, h: ops.argsort(h)), None, rnnrs.DtypeError, "an index"),
        (returns(lambda x, h: ([h], h)), None, rnnrs.DtypeError, "got list"),
    ],
)
def test_what_step_returns_is_checked(step, state, kind, message):
    with pytest.raises(kind, match=message) as raised:
        rnnrs.Recurrent(stepping(step, state))
    assert f"test_own_cell.py:{marked_line(step)}" in str(raised.value)


def test_a_state_that_is_not_returned():
    class Cell(LSTM):
        def step(self, x, h, c):
            return ops.tanh(self.linear("z", x, h, c))

    with pytest.raises(
        rnnrs.InvalidValueError, match=r"the new states \(h', c'\), or y and the new states: 2 values or 3"
    ):
        rnnrs.Recurrent(Cell(3, 4))


def test_every_parameter_is_used():
    def declared(self):
        self.u = self.param("u", 4)

    def made(self, x, h):
        self.param("w", 3)
        return h + x[0]

    for cell in (stepping(lambda self, x, h: h, before=declared), stepping(made)):
        with pytest.raises(
            rnnrs.InvalidValueError, match=r"depend on parameter '[uw]', got neither\n  declared at .*py:\d+"
        ):
            rnnrs.Recurrent(cell)


def test_symbols_of_another_step():
    kept = []

    def keeping(self, x, h):
        kept.append(h)
        return h + x[0]

    def using(self, x, h):
        return h + kept[0]

    rnnrs.Recurrent(stepping(keeping))
    with pytest.raises(rnnrs.InvalidValueError, match="present step, got one of an earlier one"):
        rnnrs.Recurrent(stepping(using))
    with pytest.raises(rnnrs.InvalidValueError, match="within the step of a cell"):
        ops.tanh(kept[0])
    with pytest.raises(rnnrs.InvalidValueError, match="within the step of a cell"):
        _ = kept[0] + 1
    with pytest.raises(rnnrs.InvalidValueError, match=r"rnnrs.Recurrent\(cell\)"):
        MGU(3, 4)(np.zeros(3), np.zeros(4))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: stepping(None, {"h": 0}), rnnrs.InvalidValueError, "state 'h': expected at least 1, got 0"),
        (lambda: stepping(None, {"h": (1, 2, 3)}), rnnrs.ShapeError, "rank 0 to 2"),
        (lambda: stepping(None, {"h": 2.5}), rnnrs.DtypeError, "an integer"),
        (lambda: stepping(None, 4), rnnrs.DtypeError, "a dict"),
        (lambda: stepping(None, size=()), rnnrs.ShapeError, "rank 1 to 2"),
        (lambda: stepping(None, before=lambda c: c.param("u", (1, 2, 3, 4))), rnnrs.ShapeError, "rank 0 to 3"),
        (lambda: stepping(None, before=lambda c: [c.param("u"), c.param("u")]), rnnrs.InvalidValueError, "a new name"),
        (lambda: stepping(None, before=lambda c: c.constant([np.nan])), rnnrs.InvalidValueError, "finite"),
        (lambda: stepping(None, before=lambda c: c.linear("z", 1.0)), rnnrs.InvalidValueError, "within the step"),
        (lambda: rnnrs.Recurrent(rnnrs.cells.GRU), rnnrs.DtypeError, "got type"),
        (lambda: rnnrs.Recurrent(stepping(lambda self, x: x, {})), rnnrs.DtypeError, "x"),
    ],
)
def test_a_definition_is_checked(make, kind, message):
    if message == "x":
        assert make().states(np.zeros((2, 3))) == ()
        return
    with pytest.raises(kind, match=message):
        make()


def test_a_cell_says_first_what_it_is():
    class Cell(rnnrs.Cell):
        def __init__(self):
            self.u = self.param("u", 3)

    class Empty(rnnrs.Cell):
        def __init__(self):
            pass

    for make in (Cell, lambda: rnnrs.Recurrent(Empty())):
        with pytest.raises(rnnrs.InvalidValueError, match=r"super\(\).__init__"):
            make()


def test_an_error_of_the_users_own_passes():
    def step(self, x, h):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        rnnrs.Recurrent(stepping(step))


def test_a_long_definition_does_not_end_the_process(run_script):
    """Chains as deep as graphs may be: planned or refused, and no recursion that runs out of stack."""
    code = (
        "import numpy as np, rnnrs\n"
        "class Long(rnnrs.Cell):\n"
        "    def __init__(self, count):\n"
        "        super().__init__(input=1, state={'h': 2})\n"
        "        self.count = count\n"
        "        self.u = self.param('u', 2)\n"
        "    def step(self, x, h):\n"
        "        u = self.u\n"
        "        for _ in range(self.count):\n"
        "            h = h + x[0]\n"
        "            u = u + 1.0\n"
        "        return h + u\n"
        "rnnrs.Recurrent(Long(2000)).record(np.zeros((3, 1)))\n"
        "try:\n"
        "    rnnrs.Recurrent(Long(70000))\n"
        "except rnnrs.InvalidValueError as error:\n"
        "    assert 'nodes' in str(error)\n"
        "else:\n"
        "    raise AssertionError\n"
    )
    run_script(code)
