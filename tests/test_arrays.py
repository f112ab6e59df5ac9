"""Arrays in: whatever holds numbers works; what does not fit raises a typed error with expected and actual."""

import re

import numpy as np
import pytest

import rnnrs
from cases import assert_same_bits, flat

LAYERS = {
    "rnn": lambda **k: rnnrs.RNN(3, 4, seed=0, **k),
    "lstm": lambda **k: rnnrs.LSTM(3, 4, num_layers=2, seed=0, **k),
    "gru-bidirectional": lambda **k: rnnrs.GRU(3, 4, bidirectional=True, seed=0, **k),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def data(steps=6, batch=4, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(steps, batch, 3)).astype(dtype)


class Foreign:
    """An array of another library, which NumPy knows only through `__array__`."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array if dtype is None else self._array.astype(dtype)


class Capsule:
    """An array of another library, which speaks DLPack alone."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def spread(array):
    """The same values at strides of two in memory."""
    wide = np.full([2 * n for n in array.shape], np.nan, array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def locked(array):
    array = array.copy()
    array.flags.writeable = False
    return array


FORMS = {
    "contiguous": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "strided": spread,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "read-only": locked,
    "list": lambda a: a.tolist(),
    "__array__": Foreign,
    "dlpack": lambda a: Capsule(a.copy()),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "float64": lambda a: a.astype(np.float64),
    "unaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "broadcast": lambda a: a,
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@every_layer
@every_form
def test_every_form_of_array_gives_the_same_bits(make, form):
    model, x = make(), data()
    y, state = model(x)
    given = [form(s) for s in flat(state)]
    given = tuple(given) if len(given) > 1 else given[0]
    got, final = model(form(x), given)
    expected, last = model(x, state)
    assert_same_bits(got, expected, "y")
    for a, b in zip(flat(final), flat(last), strict=True):
        assert_same_bits(a, b, "state")
    tape = model.record(form(x), given, training=False)
    dy = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    one, other = tape.backward(form(dy), given), model.record(x, state, training=False).backward(dy, state)
    assert_same_bits(one.x, other.x, "dx")
    for name in one.params:
        assert_same_bits(one.params[name], other.params[name], name)


def test_a_broadcast_view_is_read_right():
    model = LAYERS["lstm"]()
    row = data(batch=1)
    view = np.broadcast_to(row, (6, 5, 3))
    assert_same_bits(model(view)[0], model(view.copy())[0], "y")


@every_form
def test_parameters_from_every_form_but_another_type(form):
    model = LAYERS["lstm"]()
    values = {name: 0.5 * value for name, value in model.state_dict().items()}
    given = {name: form(value) for name, value in values.items()}
    if np.asarray(next(iter(given.values())) if form is not FORMS["dlpack"] else 0).dtype == np.float64:
        with pytest.raises(rnnrs.DtypeError, match=r"float32.*float64"):
            model.load_state_dict(given)
        return
    model.load_state_dict(given)
    for name, value in model.state_dict().items():
        assert_same_bits(value, values[name], name)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, np.bool_, np.float16, np.float64, np.longdouble])
def test_numbers_of_every_type_are_converted(dtype):
    x = (data() > 0).astype(dtype)
    assert_same_bits(LAYERS["lstm"]()(x)[0], LAYERS["lstm"]()(x.astype(np.float32))[0], "y")


@pytest.mark.parametrize("x", [data().astype(complex), data().astype(str), data().astype(object), None, "text", 3j])
def test_what_holds_no_numbers_is_a_dtype_error(x):
    with pytest.raises(rnnrs.DtypeError, match="expected"):
        LAYERS["lstm"]()(x)


def test_ragged_nested_lists_are_a_shape_error():
    with pytest.raises(rnnrs.ShapeError, match="rectangular"):
        LAYERS["lstm"]()([[[1.0, 2.0, 3.0]], [[1.0]]])


@every_layer
def test_inputs_are_never_changed_and_outputs_are_the_callers_own(make):
    model, x = make(), data()
    before = x.copy()
    y, state = model(x)
    states = [s.copy() for s in flat(state)]
    first = y.copy()
    tape = model.record(x, state)
    tape.backward(y, state)
    assert_same_bits(x, before, "x")
    for s, old in zip(flat(state), states, strict=True):
        assert_same_bits(s, old, "state")
    assert y.flags.writeable
    assert y.flags.owndata or y.base is not None
    y[...] = np.nan
    for s in flat(state):
        s[...] = np.nan
    assert_same_bits(model(x)[0], first, "y again")
    values = model.state_dict()
    for value in values.values():
        value[...] = 0
    assert_same_bits(model(x)[0], first, "y after the copies of the parameters were changed")


def test_a_tape_keeps_what_it_recorded():
    model, x = LAYERS["lstm"](), data()
    tape = model.record(x)
    y = tape.y.copy()
    expected = tape.backward(y).x.copy()
    x[...] = np.nan
    assert_same_bits(tape.backward(y).x, expected, "dx")


@every_layer
@pytest.mark.parametrize("given", [False, True])
def test_no_steps(make, given):
    """T = 0: y is empty, the state is what it was, its gradient passes through, the parameters' gradients are zero."""
    model = make()
    state = model(data())[1] if given else None
    tape = model.record(data(steps=0), state)
    assert tape.y.shape[:2] == (0, 4)
    for k, s in enumerate(flat(tape.state)):
        assert_same_bits(s, flat(state)[k] if given else np.zeros_like(s), "state")
    gradients = tape.backward(tape.y, tape.state)
    assert gradients.x.shape == (0, 4, 3)
    for s, d in zip(flat(gradients.state), flat(tape.state), strict=True):
        assert_same_bits(s, d, "dstate")
    assert all((gradients.params[name] == 0).all() for name in gradients.params)


@every_layer
def test_no_rows(make):
    """B = 0: nothing comes out, of the right shape."""
    model = make()
    y, state = model(data(batch=0))
    assert y.shape[:2] == (6, 0)
    assert all(s.shape[1] == 0 for s in flat(state))
    tape = model.record(data(batch=0), lengths=np.zeros(0, int))
    gradients = tape.backward(tape.y, tape.state)
    assert gradients.x.shape == (6, 0, 3)
    assert all((gradients.params[name] == 0).all() for name in gradients.params)


@every_layer
@pytest.mark.parametrize("training", [False, True])
def test_all_rows_empty(make, training):
    model = make(zoneout=0.3)
    state = model(data())[1]
    tape = model.record(np.full_like(data(), np.nan), state, [0, 0, 0, 0], training=training)
    assert (tape.y == 0).all()
    for s, old in zip(flat(tape.state), flat(state), strict=True):
        assert_same_bits(s, old, "state")


WRONG = [
    ("features", lambda m: m(data()[..., :2]), rnnrs.ShapeError, r"3.*\(6, 4, 2\)"),
    ("axes", lambda m: m(data()[None]), rnnrs.ShapeError, r"\(T, B.*\(1, 6, 4, 3\)"),
    ("scalar", lambda m: m(1.0), rnnrs.ShapeError, r"3.*\(\)"),
    ("rows of the state", lambda m: m(data(), state_of(m, batch=3)), rnnrs.ShapeError, r"4.*3"),
    ("layers of the state", lambda m: m(data(), state_of(m, more=1)), rnnrs.ShapeError, "expected shape"),
    ("width of the state", lambda m: m(data(), state_of(m, width=5)), rnnrs.ShapeError, "expected shape"),
    ("half a state", lambda m: m(data(), (np.zeros((2, 4, 4)),) * 3), rnnrs.ShapeError, "expected"),
    ("negative length", lambda m: m(data(), lengths=[6, 2, -1, 0]), rnnrs.InvalidValueError, r"-1"),
    ("too large a length", lambda m: m(data(), lengths=[6, 2, 7, 0]), rnnrs.InvalidValueError, r"6.*7"),
    ("huge length", lambda m: m(data(), lengths=[2**62] * 4), rnnrs.InvalidValueError, str(2**62)),
    ("lengths of other rows", lambda m: m(data(), lengths=[6, 2]), rnnrs.ShapeError, r"\(4,\).*\(2,\)"),
    ("lengths in a matrix", lambda m: m(data(), lengths=[[6, 2, 1, 0]]), rnnrs.ShapeError, r"\(4,\).*\(1, 4\)"),
    ("broken lengths", lambda m: m(data(), lengths=[6.0, 2.5, 1, 1]), rnnrs.DtypeError, "integers.*float64"),
    ("lengths out of int64", lambda m: m(data(), lengths=np.full(4, 2**64 - 1, np.uint64)), rnnrs.Error, "expected"),
    ("dy", lambda m: m.record(data()).backward(np.zeros((6, 4, 3))), rnnrs.ShapeError, r"expected.*\(6, 4, 3\)"),
    ("dstate", lambda m: m.record(data()).backward(None, state_of(m, batch=1)), rnnrs.ShapeError, "expected"),
    ("checkpoint", lambda m: m.record(data(), checkpoint=0), rnnrs.InvalidValueError, "0"),
    ("negative checkpoint", lambda m: m.record(data(), checkpoint=-3), rnnrs.InvalidValueError, "-3"),
    ("seed", lambda m: m.record(data(), seed=-1), rnnrs.InvalidValueError, "-1"),
    ("broken seed", lambda m: m.record(data(), seed=0.5), rnnrs.DtypeError, "float"),
    ("stream of no rows", lambda m: m.stream(0), rnnrs.InvalidValueError, "0"),
    ("stream of fewer than no rows", lambda m: m.stream(-2), rnnrs.InvalidValueError, "-2"),
    ("a step of other rows", lambda m: m.stream(2).step(np.zeros((3, 3), np.float32)), rnnrs.ShapeError, "2.*3"),
    ("a step of other features", lambda m: m.stream().step(np.zeros(4, np.float32)), rnnrs.ShapeError, "3.*4"),
    ("no prefix", lambda m: m.freeze("1.weight"), rnnrs.InvalidValueError, r"1\.weight"),
]


def state_of(model, batch=4, width=4, more=0):
    """Zeros in the form of the LSTM's state, or nearly."""
    return (np.zeros((2 + more, batch, width), np.float32),) * 2


@pytest.mark.parametrize(("call", "error", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_does_not_fit_is_a_typed_error(call, error, message):
    """And the message says what was expected and what came, and the model goes on working."""
    model = LAYERS["lstm"]()
    before = model(data())[0]
    with pytest.raises(error) as caught:
        call(model)
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
    assert "panicked" not in str(caught.value)
    assert_same_bits(model(data())[0], before, "y after the error")


TOKENS = [
    ("below", [[0, -1]], rnnrs.InvalidValueError, r"-1"),
    ("beyond", [[0, 7]], rnnrs.InvalidValueError, r"7"),
    ("far beyond", [[2**40, 0]], rnnrs.InvalidValueError, str(2**40)),
    ("broken", [[0.5, 1.0]], rnnrs.DtypeError, "integers"),
    ("text", [["a", "b"]], rnnrs.DtypeError, "expected"),
    ("axes", [[[0, 1]]], rnnrs.ShapeError, r"\(1, 1, 2\)"),
]


@pytest.mark.parametrize(("x", "error", "message"), [t[1:] for t in TOKENS], ids=[t[0] for t in TOKENS])
def test_tokens_that_do_not_fit(x, error, message):
    model = rnnrs.Sequential(rnnrs.Embedding(7, 4), rnnrs.GRU(4, 3))
    with pytest.raises(error, match=message):
        model(x)


def test_tokens_in_the_padding_may_be_anything():
    model = rnnrs.Sequential(rnnrs.Embedding(7, 4), rnnrs.GRU(4, 3), seed=0)
    padded = model([[1, 2, -9, 10**9]], lengths=[2])
    assert_same_bits(padded[:, :2], model([[1, 2]]), "y")
    assert (padded[:, 2:] == 0).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_tokens_of_every_integer_type(dtype):
    model = rnnrs.Sequential(rnnrs.Embedding(7, 4), rnnrs.GRU(4, 3), seed=0)
    tokens = np.array([[1, 6, 0]])
    assert_same_bits(model(tokens.astype(dtype)), model(tokens), "y")
    assert_same_bits(model(spread(tokens.astype(float)).astype(dtype)[:, ::-1]), model(tokens[:, ::-1]), "y")


def test_targets_that_do_not_fit():
    model = rnnrs.Sequential(rnnrs.Embedding(7, 4), rnnrs.GRU(4, 3))
    x = [[1, 2, 3]]
    for targets, error in (
        ([[0, 1, 3]], rnnrs.InvalidValueError),
        ([[0, 1, -1]], rnnrs.InvalidValueError),
        ([[0, 1]], rnnrs.ShapeError),
        ([[0.5, 1, 2]], rnnrs.DtypeError),
    ):
        with pytest.raises(error, match="expected"):
            model.value_and_grad(x, targets)
    with pytest.raises(rnnrs.ShapeError, match="mask"):
        model.value_and_grad(x, [[0, 1, 2]], mask=[1.0])
    with pytest.raises(rnnrs.InvalidValueError, match=r"mask|weight"):
        model.value_and_grad(x, [[0, 1, 2]], mask=[[1.0, -1.0, 1.0]])


def test_nan_and_infinity_pass_through_valid_steps():
    """They are values: they come out where they reach, in their own row alone, and nothing crashes."""
    for value in (np.nan, np.inf, -np.inf):
        x = data()
        x[2, 1] = value
        clean = LAYERS["lstm"]()(data())[0]
        y = LAYERS["lstm"]()(x)[0]
        assert_same_bits(np.delete(y, 1, 1), np.delete(clean, 1, 1), "the other rows")
        assert_same_bits(y[:2], clean[:2], "the steps before")
        if np.isnan(value):
            assert np.isnan(y[2, 1]).any()


OPTIONS = [
    (rnnrs.LSTM, {"input_size": 0}),
    (rnnrs.LSTM, {"hidden_size": 0}),
    (rnnrs.LSTM, {"hidden_size": -1}),
    (rnnrs.LSTM, {"hidden_size": 2**40}),
    (rnnrs.LSTM, {"num_layers": 0}),
    (rnnrs.LSTM, {"dropout": 1.5}),
    (rnnrs.LSTM, {"dropout": -0.1}),
    (rnnrs.LSTM, {"recurrent_dropout": 1.0}),
    (rnnrs.LSTM, {"zoneout": -0.5}),
    (rnnrs.LSTM, {"zoneout": float("nan")}),
    (rnnrs.LSTM, {"proj_size": -1}),
    (rnnrs.LSTM, {"proj_size": 4}),
    (rnnrs.LSTM, {"proj_size": 9}),
    (rnnrs.LSTM, {"coupled": True, "forget_gate": False}),
    (rnnrs.LSTM, {"forget_bias": float("inf")}),
    (rnnrs.LSTM, {"dtype": "float16"}),
    (rnnrs.LSTM, {"seed": -1}),
    (rnnrs.RNN, {"nonlinearity": "softmax"}),
    (rnnrs.RNN, {"residual": True}),
    (rnnrs.LSTM, {"residual": True, "input_size": 4, "bidirectional": True}),
    (rnnrs.LSTM, {"residual": True, "input_size": 4, "proj_size": 2}),
]


@pytest.mark.parametrize(("layer", "options"), OPTIONS, ids=str)
def test_options_out_of_range_are_refused(layer, options):
    sizes = {"input_size": 3, "hidden_size": 4}
    with pytest.raises((rnnrs.Error, MemoryError)) as caught:
        layer(**(sizes | options))
    assert "expected" in str(caught.value) or isinstance(caught.value, MemoryError), str(caught.value)


@pytest.mark.parametrize("options", [{"input_size": 3.5}, {"hidden_size": "4"}, {"num_layers": None}, {"dropout": "a"}])
def test_options_of_another_type_are_refused(options):
    with pytest.raises((rnnrs.Error, TypeError)):
        rnnrs.LSTM(**({"input_size": 3, "hidden_size": 4} | options))


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError):
        rnnrs.LSTM(3, 4, peepholes=True)
    with pytest.raises(rnnrs.InvalidValueError, match="peepholes"):
        rnnrs.Recurrent(rnnrs.cells.CellSpec("lstm", input_size=3, hidden_size=4, peepholes=True))
    with pytest.raises(rnnrs.Error, match="mgru"):
        rnnrs.Recurrent(rnnrs.cells.CellSpec("mgru", input_size=3, hidden_size=4))


def test_layers_that_do_not_fit_each_other():
    with pytest.raises((rnnrs.InvalidValueError, rnnrs.ShapeError), match=r"4.*5|5.*4"):
        rnnrs.Sequential(rnnrs.LSTM(3, 4), rnnrs.Linear(5, 2))
    with pytest.raises(rnnrs.UnsupportedError, match="batch_first"):
        rnnrs.Sequential(rnnrs.LSTM(3, 4, batch_first=True))
    with pytest.raises(rnnrs.Error):
        rnnrs.Sequential()
    with pytest.raises(rnnrs.Error):
        rnnrs.Sequential(rnnrs.LSTM(3, 4), rnnrs.Embedding(4, 2))
    with pytest.raises(rnnrs.Error):
        rnnrs.Sequential(rnnrs.LSTM(3, 4), rnnrs.Last(), rnnrs.Last())


def test_state_dicts_that_do_not_fit_change_nothing():
    model = LAYERS["lstm"]()
    before = model.state_dict()
    full = {name: value + 1 for name, value in before.items()}
    name = "weight_hh_l1"
    bad = [
        ({**full, name: full[name].T[:, :3]}, rnnrs.ShapeError, name),
        ({k: v for k, v in full.items() if k != name}, rnnrs.InvalidValueError, name),
        ({**full, "weight_hh_l7": full[name]}, rnnrs.InvalidValueError, "weight_hh_l7"),
        ({**full, name: full[name] * np.nan}, rnnrs.InvalidValueError, name),
        ({**full, name: full[name].astype(np.float64)}, rnnrs.DtypeError, name),
        ({**full, name: "text"}, rnnrs.DtypeError, name),
    ]
    for values, error, message in bad:
        with pytest.raises(error, match=message):
            model.load_state_dict(values)
        for key, value in model.state_dict().items():
            assert_same_bits(value, before[key], key)
    model.load_state_dict({name: full[name]}, strict=False)
    for key, value in model.state_dict().items():
        assert_same_bits(value, full[key] if key == name else before[key], key)


def test_gradients_know_their_names():
    gradients = LAYERS["lstm"]().record(data()).backward(np.zeros((6, 4, 4)))
    with pytest.raises(KeyError):
        gradients.params["weight"]
    assert len(gradients.params) == len(list(gradients.params)) == 8
