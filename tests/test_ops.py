"""Every function of rnnrs.ops against its formula in NumPy, and under the laws, in a cell made for it.

Each operand is x * w + h for parts of the input and the state and a parameter, so that gradients pass through the
operation to all three; in the second cell the operands are parameters alone, so that the result is made once a call.
"""

import numpy as np
import pytest

import rnnrs
from rnnrs import ops
from rnnrs.testing import check_cell


def logsumexp(a):
    return np.log(np.exp(a).sum())


def softmax(a, axis=-1):
    e = np.exp(a)
    return e / e.sum(axis, keepdims=True)


def layer_norm(a, w, b):
    mean, variance = a.mean(-1, keepdims=True), a.var(-1, keepdims=True)
    return (a - mean) / np.sqrt(variance + 1e-5) * w + b


def scattered(a, index, count):
    result = np.zeros((count, *a.shape[1:]))
    np.add.at(result, index, a)
    return result


def one_hot(index, width):
    return np.eye(width)[index]


def order(a):
    return np.argsort(a, kind="stable")


n, k, m, s = (4,), (3,), (3, 4), ()

# The name, the shapes of the operands, the operation on symbols, the same on one sample in NumPy.
TABLE = [
    ("add", [n, n], ops.add, np.add),
    ("add", [m, n], ops.add, np.add),
    ("add", [s, m], lambda a, b: a + b, np.add),
    ("add", [(3, 1), n], lambda a, b: a + b, np.add),
    ("add", [m, (1, 1)], lambda a, b: a + b, np.add),
    ("sub", [n, n], ops.sub, np.subtract),
    ("mul", [n, m], ops.mul, np.multiply),
    ("div", [n, n], lambda a, b: ops.div(a, b * b + 0.5), lambda a, b: a / (b * b + 0.5)),
    ("neg", [m], ops.neg, np.negative),
    ("fma", [n, n, n], ops.fma, lambda a, b, c: a * b + c),
    ("sigmoid", [n], ops.sigmoid, lambda a: 1 / (1 + np.exp(-a))),
    ("tanh", [m], ops.tanh, np.tanh),
    ("relu", [n], ops.relu, lambda a: np.maximum(a, 0)),
    ("leaky_relu", [n], lambda a: ops.leaky_relu(a, 0.2), lambda a: np.where(a > 0, a, 0.2 * a)),
    ("exp", [n], ops.exp, np.exp),
    ("log", [n], lambda a: ops.log(a * a + 0.5), lambda a: np.log(a * a + 0.5)),
    ("softplus", [n], ops.softplus, lambda a: np.log1p(np.exp(a))),
    ("sqrt", [n], lambda a: ops.sqrt(a * a + 0.5), lambda a: np.sqrt(a * a + 0.5)),
    ("square", [n], ops.square, np.square),
    ("sin", [n], ops.sin, np.sin),
    ("cos", [n], ops.cos, np.cos),
    ("floor", [n], lambda a: a * ops.floor(3 * a), lambda a: a * np.floor(3 * a)),
    ("sign", [n], lambda a: a * ops.sign(a), np.abs),
    ("abs", [n], abs, np.abs),
    ("minimum", [n, n], ops.minimum, np.minimum),
    ("maximum", [n, m], ops.maximum, np.maximum),
    ("clip", [n], lambda a: ops.clip(a, -0.5, 0.7), lambda a: np.clip(a, -0.5, 0.7)),
    ("greater", [n, n], lambda a, b: a * ops.greater(a, b), lambda a, b: a * (a > b)),
    ("greater_equal", [n, n], lambda a, b: a * ops.greater_equal(a, b), lambda a, b: a * (a >= b)),
    ("less", [n, n], lambda a, b: a * ops.less(a, b), lambda a, b: a * (a < b)),
    ("less_equal", [n, n], lambda a, b: a * ops.less_equal(a, b), lambda a, b: a * (a <= b)),
    ("equal", [n, n], lambda a, b: a * ops.equal(a, b) + a * (b != a), lambda a, b: a),
    ("select", [n, n, n], ops.select, lambda c, a, b: np.where(c != 0, a, b)),
    ("stop", [n], lambda a: ops.stop(0 * a) + a, lambda a: a),
    ("sum", [n], ops.sum, np.sum),
    ("sum", [m], lambda a: ops.sum(a, 0), lambda a: a.sum(0)),
    ("sum", [m], lambda a: ops.sum(a, 1), lambda a: a.sum(1)),
    ("mean", [m], lambda a: ops.mean(a, -1), lambda a: a.mean(-1)),
    ("mean", [m], ops.mean, np.mean),
    ("variance", [m], lambda a: ops.variance(a, 0), lambda a: a.var(0)),
    ("variance", [n], ops.variance, np.var),
    ("max", [n], ops.max, np.max),
    ("max", [m], lambda a: ops.max(a, 0), lambda a: a.max(0)),
    ("min", [m], lambda a: ops.min(a, 1), lambda a: a.min(1)),
    ("argmax", [n, n], lambda a, b: ops.pick(b, ops.argmax(a)), lambda a, b: b[a.argmax()]),
    ("argmax", [m, k], lambda a, b: ops.take(b, ops.argmax(a, 0)), lambda a, b: b[a.argmax(0)]),
    ("argmin", [n, n], lambda a, b: b[ops.argmin(a)], lambda a, b: b[a.argmin()]),
    ("logsumexp", [n], ops.logsumexp, logsumexp),
    ("softmax", [n], ops.softmax, softmax),
    ("softmax", [m], lambda a: ops.softmax(a, 0), lambda a: softmax(a, 0)),
    ("softmax", [m], ops.softmax, softmax),
    ("log_softmax", [m], ops.log_softmax, lambda a: np.log(softmax(a))),
    ("layer_norm", [m, n, n], ops.layer_norm, layer_norm),
    ("cumsum", [n], ops.cumsum, np.cumsum),
    ("cumsum", [m], lambda a: ops.cumsum(a, 0), lambda a: a.cumsum(0)),
    ("cumsum", [m], lambda a: ops.cumsum(a, 1, reverse=True), lambda a: a[:, ::-1].cumsum(1)[:, ::-1]),
    ("cumprod", [n], ops.cumprod, np.cumprod),
    ("cumprod", [m], lambda a: ops.cumprod(a, 0), lambda a: a.cumprod(0)),
    ("roll", [n], lambda a: ops.roll(a, -1), lambda a: np.roll(a, -1)),
    ("roll", [m], lambda a: ops.roll(a, 2, 1), lambda a: np.roll(a, 2, 1)),
    ("roll", [m], lambda a: ops.roll(a, 1, 0), lambda a: np.roll(a, 1, 0)),
    ("argsort", [n, n], lambda a, b: b[ops.argsort(a)], lambda a, b: b[order(a)]),
    ("sort", [(5,)], ops.sort, np.sort),
    ("take", [k, m], lambda a, b: ops.take(b, ops.argsort(a)), lambda a, b: b[order(a)]),
    (
        "scatter_add",
        [m, k],
        lambda a, b: ops.scatter_add(b, ops.argmax(a, 1), 5),
        lambda a, b: scattered(b, a.argmax(1), 5),
    ),
    (
        "scatter_add",
        [m, m],
        lambda a, b: ops.scatter_add(b, ops.argmax(a, 1), 4),
        lambda a, b: scattered(b, a.argmax(1), 4),
    ),
    ("pick", [n, n], lambda a, b: ops.pick(b, ops.argmax(a)), lambda a, b: b[a.argmax()]),
    ("place", [n, s], lambda a, b: ops.place(b, ops.argmax(a), 6), lambda a, b: b * one_hot(a.argmax(), 6)),
    ("one_hot", [n, n], lambda a, b: b * ops.one_hot(ops.argmax(a), 4), lambda a, b: b * one_hot(a.argmax(), 4)),
    ("concat", [n, k, s], lambda *a: ops.concat(a), lambda a, b, c: np.concatenate([a, b, [c]])),
    ("concat", [m, m], lambda *a: ops.concat(a, 1), lambda *a: np.concatenate(a, 1)),
    ("concat", [m, (2, 4)], lambda *a: ops.concat(a), lambda *a: np.concatenate(a)),
    ("stack", [n, n], lambda *a: ops.stack(a), lambda *a: np.stack(a)),
    ("stack", [s, s], lambda *a: ops.stack(a), lambda *a: np.stack(a)),
    ("pad", [n], lambda a: ops.pad(a, 2, 1), lambda a: np.pad(a, (2, 1))),
    ("pad", [m], lambda a: ops.pad(a, 0, 2, axis=1), lambda a: np.pad(a, ((0, 0), (0, 2)))),
    ("reshape", [m], lambda a: ops.reshape(a, (4, -1)), lambda a: a.reshape(4, -1)),
    ("transpose", [m], ops.transpose, np.transpose),
    ("broadcast", [n], lambda a: ops.broadcast(a, (2, 4)), lambda a: np.broadcast_to(a, (2, 4))),
    ("matmul", [m, (4, 2)], ops.matmul, np.matmul),
    ("matmul", [m, n], lambda a, b: a @ b, np.matmul),
    ("matmul", [k, m], lambda a, b: a @ b, np.matmul),
    ("matmul", [n, n], lambda a, b: a @ b, np.dot),
    ("matmul", [m, m], lambda a, b: a @ ops.transpose(b), lambda a, b: a @ b.T),
    ("dot", [n, n], ops.dot, np.dot),
    ("outer", [n, k], ops.outer, np.outer),
    (
        "solve",
        [(3, 3), k],
        lambda a, b: ops.solve(a + 4 * np.eye(3), b),
        lambda a, b: np.linalg.solve(a + 4 * np.eye(3), b),
    ),
    ("abs", [m], lambda a: a[1] + abs(a[-1, 1:3])[0] * a[:2, 2][1], lambda a: a[1] + abs(a[-1, 1]) * a[1, 2]),
]


class Inside(rnnrs.Cell):
    """An operation on values of a step."""

    def __init__(self, operation, shapes):
        self.shapes, self.operation = shapes, operation
        size = sum(int(np.prod(shape)) for shape in shapes)
        super().__init__(input=size, state={"h": size})

    def step(self, x, h):
        at, operands = 0, []
        for place, shape in enumerate(self.shapes):
            width = int(np.prod(shape))
            part = ops.reshape(x[at : at + width], shape) * self.param(f"w{place}", shape)
            operands.append(part + ops.reshape(h[at : at + width], shape))
            at += width
        y = self.operation(*operands)
        return y, 0.5 * h + 0.1 * ops.mean(y)


def inside(operation, shapes):
    """One step of `Inside` in NumPy, of a batch."""

    def step(params, x, h):
        y = []
        for x_b, h_b in zip(x, h, strict=True):
            at, operands = 0, []
            for place, shape in enumerate(shapes):
                width = int(np.prod(shape))
                part = x_b[at : at + width].reshape(shape) * params[f"w{place}"]
                operands.append(part + h_b[at : at + width].reshape(shape))
                at += width
            y.append(np.ravel(operation(*operands)))
        y = np.array(y)
        return y, 0.5 * h + 0.1 * y.mean(1, keepdims=True)

    return step


class Before(rnnrs.Cell):
    """An operation on parameters."""

    def __init__(self, operation, shapes):
        super().__init__(input=2, state={"h": 2})
        self.operation = operation
        self.operands = [self.param(f"w{place}", shape, init=1.0) for place, shape in enumerate(shapes)]

    def step(self, x, h):
        y = self.operation(*self.operands)
        if y.kind == "int":
            return NotImplemented
        return y * x[0] + ops.sum(h), ops.tanh(h + x)


def before(operation):
    def step(params, x, h):
        made = np.ravel(operation(*(params[f"w{place}"] for place in range(len(params)))))
        return made * x[:, :1] + h.sum(1, keepdims=True), np.tanh(h + x)

    return step


def ids(rows):
    return [
        f"{row[0]}-{'-'.join('x'.join(map(str, shape)) or 's' for shape in row[1])}-{k}" for k, row in enumerate(rows)
    ]


@pytest.mark.parametrize(("name", "shapes", "operation", "formula"), TABLE, ids=ids(TABLE))
def test_an_operation_in_a_step(name, shapes, operation, formula):
    check_cell(Inside(operation, shapes), inside(formula, shapes), cases=2, simd=False, verbose=False)


@pytest.mark.parametrize(("name", "shapes", "operation", "formula"), TABLE, ids=ids(TABLE))
def test_an_operation_on_parameters(name, shapes, operation, formula):
    check_cell(Before(operation, shapes), before(formula), cases=1, simd=False, verbose=False)
