"""A case: one configuration with sizes, layer options and random numbers, and hypothesis's ways to draw one.

A cell's case and a chain's answer to the same names, so that a law is written once.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from hypothesis import strategies as st

import rnnrs
from configurations import CELLS, CHAINS, Chain, Configuration
from reference import sequence

EVERY = [*CELLS, *CHAINS]


def flat(state):
    """The arrays of a state in order, whatever its form."""
    if state is None:
        return []
    if isinstance(state, (tuple, list)):
        return [array for part in state for array in flat(part)]
    return [state]


def like(form, arrays):
    """The arrays in the form of another state."""
    arrays = iter(arrays)

    def fill(part):
        return tuple(fill(p) for p in part) if isinstance(part, (tuple, list)) else next(arrays)

    return fill(form)


def randomise(model, rng):
    """Gives every parameter a value that matters: weights like 1/sqrt(columns), gains near one, biases not zero."""
    values = {}
    for name, old in model.state_dict().items():
        noise = rng.normal(size=old.shape)
        if old.ndim > 1:
            value = noise / np.sqrt(old[0].size)
        elif {"ln", "weight"} <= set(name.rsplit(".", 1)[-1].split("_")):
            value = 1.0 + 0.3 * noise
        else:
            value = 0.4 * noise
        values[name] = value.astype(old.dtype)
    model.load_state_dict(values)
    return model


@dataclass(frozen=True)
class Case:
    """What the two kinds of case share. Arrays are in the layout of the call; a state in the form of the call."""

    steps: int = 5
    batch: int = 2
    lengths: tuple | None = None
    initial: bool = False
    dtype: str = "float64"
    seed: int = 0

    @cached_property
    def parts(self):
        """x, state: drawn once, so that the same case gives the same numbers whatever else is asked first."""
        rng = np.random.default_rng([self.seed, 1])
        return self.draw_x(rng), self.draw_state(rng)

    @property
    def x(self):
        return self.parts[0]

    @property
    def state(self):
        return self.parts[1]

    @property
    def given(self):
        """The keyword arguments of a call."""
        return {"state": self.state, "lengths": None if self.lengths is None else np.array(self.lengths)}

    @property
    def valid(self):
        """Each row's number of steps."""
        return (self.steps,) * self.batch if self.lengths is None else self.lengths

    def build(self):
        return randomise(self.make(dtype=self.dtype), np.random.default_rng([self.seed, 2]))

    def cotangents(self, tape, rng=None):
        """Random dy and dstate for a tape, in its forms."""
        rng = rng or np.random.default_rng([self.seed, 3])
        dy = rng.normal(size=tape.y.shape).astype(self.dtype)
        parts = [rng.normal(size=s.shape).astype(self.dtype) for s in flat(tape.state)]
        return dy, like(tape.state, parts) if parts else None

    def but(self, **changes):
        return replace(self, **changes)


@dataclass(frozen=True)
class CellCase(Case):
    """A recurrent layer of one of the table's cells."""

    configuration: Configuration = CELLS[0]
    input_size: int = 3
    hidden_size: int = 4
    num_layers: int = 1
    bidirectional: bool = False
    residual: bool = False
    batch_first: bool = False
    unbatched: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    generic: bool = False  # through rnnrs.Recurrent(rnnrs.cells.X(...)) and not through the layer's own class

    @property
    def causal(self):
        return not self.bidirectional

    @property
    def random(self):
        return bool(self.recurrent_dropout or self.zoneout or (self.dropout and self.num_layers > 1))

    @property
    def options(self):
        c = self.configuration.options
        return c | {n: getattr(self, n) for n in ("recurrent_dropout", "zoneout") if getattr(self, n)}

    def make(self, **more):
        layer = {
            n: getattr(self, n) for n in ("num_layers", "bidirectional", "residual", "batch_first", "dropout")
        } | more
        c = self.configuration
        sizes = {"input_size": self.input_size, "hidden_size": self.hidden_size}
        if c.layer and not self.generic:
            return getattr(rnnrs, c.layer)(**sizes, **self.options, **layer)
        return rnnrs.Recurrent(getattr(rnnrs.cells, c.description)(**sizes, **self.options), **layer)

    @property
    def output_size(self):
        """Of the first of its layers."""
        width = sequence.output_size(self.configuration.reference, self.options, self.hidden_size, self.input_size)
        return 2 * width if self.bidirectional else width

    @property
    def time_axis(self):
        return 1 if self.batch_first and not self.unbatched else 0

    @property
    def batch_axis(self):
        """Of x and y, where they have one."""
        return 0 if self.batch_first else 1

    def lay(self, array):
        """(T, B, F) to the layout of the call."""
        if self.unbatched:
            return array[:, 0]
        return np.ascontiguousarray(array.swapaxes(0, 1)) if self.batch_first else array

    def unlay(self, array):
        if self.unbatched:
            return array[:, None]
        return array.swapaxes(0, 1) if self.batch_first else array

    def draw_x(self, rng):
        x = rng.normal(size=(self.steps, self.batch, self.input_size))
        if self.options.get("timestamps"):
            x[..., -1] = np.abs(x[..., -1])
        return self.lay(x.astype(self.dtype))

    @property
    def state_shapes(self):
        rows = self.num_layers * (2 if self.bidirectional else 1)
        middle = () if self.unbatched else (self.batch,)
        widths = self.configuration.reference.states(self.options, self.hidden_size)
        return {name: (rows, *middle, width) for name, width in widths.items()}

    def draw_state(self, rng):
        if not self.initial:
            return None
        arrays = {name: 0.5 * rng.normal(size=shape) for name, shape in self.state_shapes.items()}
        for name in getattr(self.configuration.reference, "POSITIVE", ()):
            arrays[name] = 0.5 + np.abs(arrays[name])
        arrays = tuple(array.astype(self.dtype) for array in arrays.values())
        return arrays if len(arrays) > 1 else arrays[0]

    def reference(self, model, x=None, state=None):
        """y, the final state's arrays, and how near a corner the computation came."""
        x = self.unlay(self.x if x is None else x)
        state = flat(self.state if state is None else state) or None
        if self.unbatched and state:
            state = [s[:, None] for s in state]
        y, final, corner = sequence.run(
            self.configuration.reference,
            model.state_dict(),
            self.options,
            self.hidden_size,
            x,
            state,
            self.lengths,
            self.num_layers,
            self.bidirectional,
            self.residual,
        )
        return self.lay(y), [f[:, 0] for f in final] if self.unbatched else final, corner


@dataclass(frozen=True)
class ChainCase(Case):
    """A Sequential of the table: always batch first, (N, T, F) or (N, T)."""

    configuration: Chain = CHAINS[0]

    time_axis, batch_axis, unbatched, batch_first = 1, 0, False, True
    random = False

    @property
    def causal(self):
        return self.configuration.causal and self.configuration.steps

    def make(self, **more):
        return self.configuration.make(rnnrs, **more)

    def draw_x(self, rng):
        shape = (self.batch, self.steps)
        if self.configuration.tokens:
            return rng.integers(0, self.configuration.width, shape)
        return rng.normal(size=(*shape, self.configuration.width)).astype(self.dtype)

    def draw_state(self, rng):
        if not self.initial or not self.configuration.states:
            return None
        shapes = [(rows, self.batch, width) for rows, width in self.configuration.states]
        arrays = [(0.5 * rng.normal(size=shape)).astype(self.dtype) for shape in shapes]
        empty = np.zeros_like(self.draw_x(rng))
        return like(self.make().record(empty, training=False).state, arrays)

    def reference(self, model, x=None, state=None):
        x = (self.x if x is None else x).swapaxes(0, 1)
        state = flat(self.state if state is None else state)
        state = state or [np.zeros((rows, self.batch, width)) for rows, width in self.configuration.states]
        weights = {name: value.astype(np.float64) for name, value in model.state_dict().items()}
        y, final = self.configuration.reference(weights, x, state, self.valid)
        if self.configuration.steps:
            y = (y * (np.arange(self.steps)[:, None, None] < np.asarray(self.valid)[None, :, None])).swapaxes(0, 1)
        return y, final, np.inf


@st.composite
def cases(draw, configuration, **fixed):
    """Cases of a configuration; what is in `fixed` is not drawn, and what does not apply to a chain is left out."""
    steps = fixed.pop("steps", None)
    steps = draw(st.integers(0, 9)) if steps is None else steps
    batch = draw(st.integers(1, 5))
    drawn = {
        "steps": steps,
        "batch": batch,
        "initial": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["float64", "float32"])),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "lengths": draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch).map(tuple)),
    }
    if isinstance(configuration, Chain):
        drawn |= {name: value for name, value in fixed.items() if name in Case.__dataclass_fields__}
        return ChainCase(configuration=configuration, **drawn)
    drawn |= {
        "hidden_size": configuration.hidden_size(draw(st.integers(1, 7))),
        "input_size": configuration.input_size(draw(st.integers(1, 6))),
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "residual": draw(st.booleans()),
        "generic": draw(st.booleans()),
        "unbatched": draw(st.booleans()) if batch == 1 else False,
        "zoneout": draw(st.sampled_from([0.0, 0.0, 0.2])),
    }
    drawn |= fixed
    drawn["num_layers"] = configuration.num_layers(drawn["num_layers"])
    if drawn["unbatched"]:
        drawn |= {"lengths": None, "batch": 1}
    case = CellCase(configuration=configuration, **drawn)
    if not case.residual:
        return case
    # A residual connection adds input to output, so their widths must agree; where none fits there is no such case.
    case = case.but(input_size=configuration.input_size(case.output_size))
    return case.but(residual=case.input_size == case.output_size)


def random_options(configuration):
    """Zoneout and both dropouts, as far as the cell takes them, at least one of them at work."""
    p, none = st.sampled_from([0.0, 0.25, 0.5]), st.just(0.0)
    layers = configuration.num_layers(2)
    return (
        st.tuples(p if layers > 1 else none, p if configuration.drops else none, p)
        .filter(any)
        .map(lambda t: {"dropout": t[0], "recurrent_dropout": t[1], "zoneout": t[2], "num_layers": layers})
    )


def same_bits(a, b):
    """Equal as bits; NaNs are equal whatever their payload (the promise does not speak of that)."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    integers = {4: np.uint32, 8: np.uint64}[a.dtype.itemsize]
    return bool(np.all((a.view(integers) == b.view(integers)) | (np.isnan(a) & np.isnan(b))))


def assert_same_bits(a, b, what):
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    assert a.shape == b.shape, f"{what}: shapes {a.shape} and {b.shape}"
    assert a.dtype == b.dtype, f"{what}: {a.dtype} and {b.dtype}"
    assert same_bits(a, b), f"{what}: bits differ, by at most {np.nanmax(np.abs(a - b), initial=0)}"


def assert_same_gradients(a, b, what=""):
    """All of two Gradients, to the bit."""
    if a.x is not None:
        assert_same_bits(a.x, b.x, f"{what} dx")
    for k, (s, t) in enumerate(zip(flat(a.state), flat(b.state), strict=True)):
        assert_same_bits(s, t, f"{what} dstate {k}")
    assert list(a.params) == list(b.params)
    for name in a.params:
        assert_same_bits(a.params[name], b.params[name], f"{what} d{name}")


def assert_same_tape(a, b, what=""):
    """y and the final state, to the bit."""
    assert_same_bits(a.y, b.y, f"{what} y")
    for k, (s, t) in enumerate(zip(flat(a.state), flat(b.state), strict=True)):
        assert_same_bits(s, t, f"{what} state {k}")
