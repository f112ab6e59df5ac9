"""Operations for the step of a cell of one's own: on symbols, from which ``rnnrs.Cell`` makes its graph.

Shapes are those of one sample: () for a number, (n,) for a vector, (m, n) for a matrix; the batch is not seen. Numbers
and NumPy arrays among the operands are constants. Elementwise operations let shapes meet as NumPy's do. What is said of
a gradient is what arrives at the operand when g arrives at the result; else it is the derivative times g.

Integers (kind ``"int"``) come from ``argmax`` and ``argsort`` and serve as indices only; no gradient passes.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, Literal

from . import _lines, _numbers, _symbols
from ._core import DtypeError, InvalidValueError, ShapeError
from ._symbols import Shape, Symbol, apply, elementwise, symbol

__all__ = [
    "abs",
    "add",
    "argmax",
    "argmin",
    "argsort",
    "bernoulli",
    "bilinear",
    "broadcast",
    "clip",
    "concat",
    "cos",
    "cumprod",
    "cumsum",
    "div",
    "dot",
    "dropout",
    "equal",
    "exp",
    "floor",
    "fma",
    "gather",
    "greater",
    "greater_equal",
    "layer_norm",
    "leaky_relu",
    "less",
    "less_equal",
    "linear",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mul",
    "neg",
    "normal",
    "one_hot",
    "outer",
    "pad",
    "pick",
    "place",
    "relu",
    "reshape",
    "roll",
    "scatter_add",
    "select",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "solve",
    "sort",
    "sqrt",
    "square",
    "stack",
    "step",
    "stop",
    "sub",
    "sum",
    "take",
    "tanh",
    "transpose",
    "uniform",
    "variance",
]

# Element by element


def add(a: Any, b: Any) -> Symbol:
    """a + b."""
    return elementwise("add", a, b)


def sub(a: Any, b: Any) -> Symbol:
    """a - b."""
    return elementwise("sub", a, b)


def mul(a: Any, b: Any) -> Symbol:
    """a * b."""
    return elementwise("mul", a, b)


def div(a: Any, b: Any) -> Symbol:
    """a / b."""
    return elementwise("div", a, b)


def neg(a: Any) -> Symbol:
    """-a."""
    return elementwise("neg", a)


def fma(a: Any, b: Any, c: Any) -> Symbol:
    """a * b + c, rounded once."""
    return elementwise("fma", a, b, c)


def sigmoid(a: Any) -> Symbol:
    """1 / (1 + exp(-a))."""
    return elementwise("sigmoid", a)


def tanh(a: Any) -> Symbol:
    """The hyperbolic tangent."""
    return elementwise("tanh", a)


def relu(a: Any) -> Symbol:
    """max(a, 0). Gradient at 0: 0."""
    return elementwise("relu", a)


def leaky_relu(a: Any, slope: float = 0.01) -> Symbol:
    """a where a > 0, else slope * a (Maas, Hannun and Ng 2013). Gradient at 0: slope * g."""
    return select(greater(a, 0.0), a, mul(slope, a))


def exp(a: Any) -> Symbol:
    """e to the power a."""
    return elementwise("exp", a)


def log(a: Any) -> Symbol:
    """The natural logarithm; -inf at 0, NaN below."""
    return elementwise("log", a)


def softplus(a: Any) -> Symbol:
    """ln(1 + exp(a)), without overflow."""
    return elementwise("softplus", a)


def sqrt(a: Any) -> Symbol:
    """The square root; NaN below 0."""
    return elementwise("sqrt", a)


def square(a: Any) -> Symbol:
    """a * a."""
    return mul(a, a)


def sin(a: Any) -> Symbol:
    """The sine of an angle in radians."""
    return elementwise("sin", a)


def cos(a: Any) -> Symbol:
    """The cosine of an angle in radians."""
    return elementwise("cos", a)


def floor(a: Any) -> Symbol:
    """The greatest whole number that is not above a. Gradient: 0."""
    return elementwise("floor", a)


def sign(a: Any) -> Symbol:
    """1 or -1; at 0, 0. Gradient: 0."""
    return elementwise("sign", a)


def abs(a: Any) -> Symbol:
    """The magnitude. Gradient at 0: 0."""
    return elementwise("abs", a)


def minimum(a: Any, b: Any) -> Symbol:
    """The lesser of two, element by element; NaN where either is. Gradient where they are equal: all to b."""
    return elementwise("minimum", a, b)


def maximum(a: Any, b: Any) -> Symbol:
    """The greater of two, element by element; NaN where either is. Gradient where they are equal: all to b."""
    return elementwise("maximum", a, b)


def clip(a: Any, low: Any, high: Any) -> Symbol:
    """min(max(a, low), high). Gradient: g where low < a < high, else 0."""
    return minimum(maximum(a, low), high)


def greater(a: Any, b: Any) -> Symbol:
    """1 where a > b, else 0. Gradient: 0."""
    return elementwise("greater", a, b)


def greater_equal(a: Any, b: Any) -> Symbol:
    """1 where a >= b, else 0. Gradient: 0."""
    return _symbols.compare(">=", a, b)


def less(a: Any, b: Any) -> Symbol:
    """1 where a < b, else 0. Gradient: 0."""
    return _symbols.compare("<", a, b)


def less_equal(a: Any, b: Any) -> Symbol:
    """1 where a <= b, else 0. Gradient: 0."""
    return _symbols.compare("<=", a, b)


def equal(a: Any, b: Any) -> Symbol:
    """1 where a == b, else 0. Gradient: 0."""
    return elementwise("equal", a, b)


def select(condition: Any, a: Any, b: Any) -> Symbol:
    """a where the condition is not 0, else b. Gradient: g to the one that was taken, 0 to the other."""
    return elementwise("select", condition, a, b)


def step(
    a: Any, surrogate: Literal["fast_sigmoid", "triangle", "sigmoid"] = "fast_sigmoid", slope: float = 1.0
) -> Symbol:
    """1 where a > 0, else 0: the spike of a spiking unit.

    The gradient is a surrogate's (Neftci, Mostafa and Zenke 2019), g times

    - ``"fast_sigmoid"``: 1 / (1 + slope * abs(a))^2 (Zenke and Ganguli 2018)
    - ``"triangle"``: max(0, 1 - slope * abs(a)) (Bellec et al. 2018)
    - ``"sigmoid"``: slope * s * (1 - s) with s = sigmoid(slope * a)
    """
    return elementwise("step", a, surrogate=surrogate, slope=float(slope))


def stop(a: Any) -> Symbol:
    """a itself. Gradient: 0."""
    return elementwise("stop", a)


# Along an axis


def sum(a: Any, axis: int | None = None) -> Symbol:
    """The sum of all elements, or along an axis, which goes."""
    return _reduction("sum", a, axis)


def mean(a: Any, axis: int | None = None) -> Symbol:
    """The mean of all elements, or along an axis, which goes."""
    value = symbol(a)
    return sum(value, axis) * (1.0 / _count(value, axis))


def variance(a: Any, axis: int | None = None) -> Symbol:
    """The mean of the squared deviations from the mean, of all elements or along an axis, which goes."""
    value = symbol(a)
    return mean(square(value - _spread(mean(value, axis), value, axis)), axis)


def max(a: Any, axis: int | None = None) -> Symbol:
    """The greatest of all elements, or along an axis, which goes; NaN wins. Gradient: g shared equally among ties."""
    return _reduction("max", a, axis)


def min(a: Any, axis: int | None = None) -> Symbol:
    """The least of all elements, or along an axis, which goes; NaN wins. Gradient: g shared equally among ties."""
    return neg(max(neg(a), axis))


def argmax(a: Any, axis: int = -1) -> Symbol:
    """The index of the greatest element along an axis, which goes: an integer; of several the first."""
    value = symbol(a)
    return apply("argmax", value, **_along(value, axis))


def argmin(a: Any, axis: int = -1) -> Symbol:
    """The index of the least element along an axis, which goes: an integer; of several the first."""
    return argmax(neg(a), axis)


def logsumexp(a: Any, axis: int | None = None) -> Symbol:
    """ln of the sum of exp(a), without overflow; of all elements, or along an axis, which goes."""
    value = symbol(a)
    top = stop(max(value, axis))
    return top + log(sum(exp(value - _spread(top, value, axis)), axis))


def softmax(a: Any, axis: int = -1) -> Symbol:
    """exp(a) / sum(exp(a)) along an axis."""
    value = symbol(a)
    powers = exp(value - _spread(stop(max(value, axis)), value, axis))
    return powers / _spread(sum(powers, axis), value, axis)


def log_softmax(a: Any, axis: int = -1) -> Symbol:
    """a - logsumexp(a) along an axis."""
    value = symbol(a)
    return value - _spread(logsumexp(value, axis), value, axis)


def layer_norm(a: Any, weight: Any = 1.0, bias: Any = 0.0, *, eps: float = 1e-5) -> Symbol:
    """(a - mean) / sqrt(variance + eps) * weight + bias over the last axis (Ba, Kiros and Hinton 2016, eq. 4)."""
    value = symbol(a)
    centred = value - _spread(mean(value, -1), value, -1)
    scale = sqrt(mean(square(centred), -1) + eps)
    return fma(centred / _spread(scale, value, -1), weight, bias)


def cumsum(a: Any, axis: int = -1, *, reverse: bool = False) -> Symbol:
    """Sums of the elements up to and with each along an axis; with ``reverse`` from each to the last."""
    value = symbol(a)
    return apply("cumsum", value, reverse=bool(reverse), **_along(value, axis))


def cumprod(a: Any, axis: int = -1) -> Symbol:
    """Products of the elements up to and with each along an axis. Gradient: exact where elements are 0, too."""
    value = symbol(a)
    return apply("cumprod", value, **_along(value, axis))


def roll(a: Any, shift: int, axis: int = -1) -> Symbol:
    """A circular shift: element k goes to (k + shift) mod n."""
    value = symbol(a)
    extent = _extent(value, axis)
    return apply("roll", value, shift=_whole(shift, "shift") % extent, **_along(value, axis))


def argsort(a: Any, axis: int = -1) -> Symbol:
    """The indices (integers) of the elements from least to greatest; ties go to the lower index, NaN comes last."""
    value = symbol(a)
    return apply("argsort", value, **_along(value, axis))


def sort(a: Any) -> Symbol:
    """The elements of a vector from the least to the greatest. Gradient: g, back to where each element came from."""
    value = symbol(a)
    if value.ndim != 1:
        raise _lines.error(ShapeError, f"sort: expected a vector, got shape {value.shape}")
    return take(value, argsort(value))


def take(a: Any, index: Symbol) -> Symbol:
    """Elements (of a matrix: rows) at a vector of indices. Gradient: ``scatter_add`` of g."""
    return apply("take", symbol(a), _index("take", index))


def scatter_add(values: Any, index: Symbol, count: int) -> Symbol:
    """``count`` zeros (of a matrix: rows), to which each value is added at its index. Gradient: ``take`` of g."""
    return apply("scatter_add", symbol(values), _index("scatter_add", index), count=_numbers.count(count, "count"))


def pick(a: Any, index: Symbol) -> Symbol:
    """The element of a vector at an index: a number. Gradient: ``place`` of g."""
    return apply("pick", symbol(a), _index("pick", index))


def place(a: Any, index: Symbol, width: int) -> Symbol:
    """A number at an index among ``width`` elements, the others 0. Gradient: ``pick`` of g."""
    return apply("place", symbol(a), _index("place", index), width=_numbers.count(width, "width"))


def one_hot(index: Symbol, width: int) -> Symbol:
    """1 at an index among ``width`` elements, the others 0."""
    return place(1.0, index, width)


def gather(table: Any, index: Symbol) -> Symbol:
    """The row at an index of a matrix made of parameters and constants alone. Gradient: g to that row."""
    return apply("gather", _fixed("gather", table, "ops.take"), _index("gather", index))


# Form


def concat(values: Sequence[Any], axis: int = 0) -> Symbol:
    """Vectors one after the other, matrices along an axis; numbers count as vectors of one element."""
    parts = [symbol(value) for value in values]
    if not parts:
        raise _lines.error(ShapeError, "concat: expected at least one value, got none")
    parts = [reshape(part, (1,)) if part.ndim == 0 else part for part in parts]
    return parts[0] if len(parts) == 1 else apply("concat", *parts, **_along(parts[0], axis))


def stack(values: Sequence[Any]) -> Symbol:
    """Numbers as a vector, vectors as the rows of a matrix."""
    parts = [symbol(value) for value in values]
    return concat([reshape(part, (1, *part.shape)) for part in parts])


def pad(a: Any, before: int, after: int, axis: int = 0) -> Symbol:
    """With zeros before and after along an axis."""
    value = symbol(a)
    ahead, behind = (_numbers.count(n, what, 0) for n, what in ((before, "before"), (after, "after")))
    if not ahead + behind:
        return value
    return apply("pad", value, before=ahead, total=ahead + _extent(value, axis) + behind, **_along(value, axis))


def reshape(a: Any, shape: Shape | int) -> Symbol:
    """The same elements in another shape, the last axis running fastest; one extent may be -1."""
    value = symbol(a)
    wanted = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    if wanted.count(-1) == 1:
        rest = math.prod(extent for extent in wanted if extent != -1)
        wanted[wanted.index(-1)] = math.prod(value.shape) // rest if rest else 0
    if any(extent < 1 for extent in wanted) or math.prod(wanted) != math.prod(value.shape):
        raise _lines.error(ShapeError, f"reshape: expected a shape of the elements of {value.shape}, got {shape}")
    return _symbols.reshape(value, tuple(wanted))


def transpose(a: Any) -> Symbol:
    """Rows as columns."""
    return apply("transpose", symbol(a))


def broadcast(a: Any, shape: Shape) -> Symbol:
    """The value repeated to a shape, as NumPy repeats it. Gradient: g summed over the repetitions."""
    return _symbols.broadcast(symbol(a), tuple(shape))


# Products


def linear(x: Any, weight: Any) -> Symbol:
    """W x for a vector x (k,) and a matrix W (n, k) made of parameters and constants alone: a vector (n,).

    One large product for all steps where x does not depend on the state, else one for all samples of a step.
    """
    return apply("linear", symbol(x), _fixed("linear", weight, "ops.matmul"))


def matmul(a: Any, b: Any) -> Symbol:
    """The product of matrices of each sample, or of a matrix and a vector, or of two vectors; also ``a @ b``.

    (m, k) and (k, n): (m, n); (m, k) and (k,): (m,); (k,) and (k, n): (n,); (k,) and (k,): a number.
    """
    left, right = symbol(a), symbol(b)
    match left.ndim, right.ndim:
        case 1, 1:
            return dot(left, right)
        case 2, 1:
            if not left.varies:
                return linear(right, left)
            return reshape(_matmul(left, reshape(right, (-1, 1))), (-1,))
        case 1, 2:
            if left.varies and not right.varies:
                return apply("linear_transposed", left, right)
            return reshape(_matmul(reshape(left, (1, -1)), right), (-1,))
        case 2, 2:
            return _matmul(left, right)
    raise _lines.error(ShapeError, f"matmul: expected vectors and matrices, got shapes {left.shape} and {right.shape}")


def _matmul(a: Symbol, b: Symbol) -> Symbol:
    return apply("matmul", a, b, transposed=[False, False])


def dot(a: Any, b: Any) -> Symbol:
    """The sum of a * b: a number."""
    return sum(mul(a, b))


def outer(a: Any, b: Any) -> Symbol:
    """The products of each element of a with each of b: vectors (m,) and (n,) give (m, n)."""
    left, right = symbol(a), symbol(b)
    if left.ndim != 1 or right.ndim != 1:
        raise _lines.error(ShapeError, f"outer: expected two vectors, got shapes {left.shape} and {right.shape}")
    return reshape(left, (-1, 1)) * right


def bilinear(weight: Any, x: Any, h: Any) -> Symbol:
    """y_o = sum over j, k of W_ojk x_j h_k, for W (o, j, k) made of parameters and constants alone."""
    tensor, left, right = symbol(weight), symbol(x), symbol(h)
    if tensor.ndim != 3 or tensor.shape[1:] != left.shape + right.shape:
        raise _lines.error(
            ShapeError,
            f"bilinear: expected W of shape (o, j, k) with vectors (j,) and (k,), got shapes {tensor.shape}, "
            f"{left.shape} and {right.shape}",
        )
    return linear(reshape(outer(left, right), (-1,)), reshape(tensor, (tensor.shape[0], -1)))


def solve(matrix: Any, b: Any) -> Symbol:
    """x with A x = b, for A (n, n) and b (n,); by elimination with partial pivoting, ties to the lower row.

    Gradient: to b the solution d of A^T d = g, to A minus the outer product of d and x.
    """
    return apply("solve", symbol(matrix), symbol(b), transposed=False)


# Random


def bernoulli(probability: float, shape: Shape | int = (), *, value: float = 1.0, per_sequence: bool = False) -> Symbol:
    """``value`` with this probability, else 0, drawn for each element, row and step, or once a sequence.

    Outside of training the mean, probability * value. Gradient: none.
    """
    chance = _finite(probability, "probability")
    if not 0.0 <= chance <= 1.0:
        raise _lines.error(InvalidValueError, f"probability: expected a number in [0, 1], got {chance}")
    return _draw("bernoulli", shape, per_sequence, probability=chance, value=_finite(value, "value"))


def uniform(low: float, high: float, shape: Shape | int = (), *, per_sequence: bool = False) -> Symbol:
    """Uniform in [low, high), drawn for each element, row and step, or once a sequence.

    Outside of training the mean, (low + high) / 2. Gradient: none.
    """
    ends = {"from": _finite(low, "low"), "to": _finite(high, "high")}
    if not ends["from"] < ends["to"]:
        raise _lines.error(InvalidValueError, f"uniform: expected low < high, got {low} and {high}")
    return _draw("uniform", shape, per_sequence, **ends)


def normal(mean: float, deviation: float, shape: Shape | int = (), *, per_sequence: bool = False) -> Symbol:
    """Normal with this mean and standard deviation, drawn for each element, row and step, or once a sequence.

    Outside of training the mean. Gradient: none.
    """
    spread = _finite(deviation, "deviation")
    if not spread > 0.0:
        raise _lines.error(InvalidValueError, f"deviation: expected a positive number, got {deviation}")
    return _draw("normal", shape, per_sequence, mean=_finite(mean, "mean"), deviation=spread)


def dropout(a: Any, p: float, *, per_sequence: bool = False) -> Symbol:
    """a * mask / (1 - p), each element of the mask 0 with probability p and else 1; outside of training a.

    A mask is drawn each step, or once a sequence (Gal and Ghahramani 2016).
    """
    value, chance = symbol(a), _finite(p, "p")
    if not 0.0 <= chance < 1.0:
        raise _lines.error(InvalidValueError, f"p: expected a number in [0, 1), got {chance}")
    keep = 1.0 - chance
    return value * bernoulli(keep, value.shape, value=1.0 / keep, per_sequence=per_sequence) if chance else value


# What the functions above share


def _draw(primitive: str, shape: Shape | int, per_sequence: bool, **numbers: float) -> Symbol:
    full = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if any(extent < 1 for extent in full):
        raise _lines.error(ShapeError, f"{primitive}: expected a shape, got {shape}")
    # Each draw has a label of its own, for equal nodes are one node.
    label = f"draw{_symbols.current(f'ops.{primitive}').count('draw')}"
    return apply(primitive, shape=full, per_sequence=bool(per_sequence), label=label, **numbers)


def _reduction(primitive: str, a: Any, axis: int | None) -> Symbol:
    value = symbol(a)
    if axis is None or value.ndim == 1:
        if axis is not None:
            _extent(value, axis)
        return apply(primitive, value)
    return apply(primitive, value, axis=_axis(value, axis))


def _axis(value: Symbol, axis: int) -> int:
    position = _whole(axis, "axis")
    if not -value.ndim <= position < value.ndim:
        raise _lines.error(ShapeError, f"axis: expected one of shape {value.shape}, got {axis}")
    return position % value.ndim


def _along(value: Symbol, axis: int) -> dict[str, int]:
    position = _axis(value, axis)
    return {"axis": position} if position else {}


def _extent(value: Symbol, axis: int) -> int:
    return value.shape[_axis(value, axis)]


def _count(value: Symbol, axis: int | None) -> int:
    return math.prod(value.shape) if axis is None else _extent(value, axis)


def _spread(reduced: Symbol, like: Symbol, axis: int | None) -> Symbol:
    """What a reduction gave, repeated to the shape that was reduced."""
    if axis is not None and like.ndim == 2 and _axis(like, axis) == 1:
        reduced = reshape(reduced, (-1, 1))
    return _symbols.broadcast(reduced, like.shape)


def _index(what: str, index: Any) -> Symbol:
    if not isinstance(index, Symbol) or index.kind != "int":
        raise _lines.error(DtypeError, f"{what}: expected an index, of ops.argmax or ops.argsort, got {index!r}")
    return index


def _fixed(what: str, matrix: Any, other: str) -> Symbol:
    value = symbol(matrix)
    if value.varies:
        raise _lines.error(
            InvalidValueError,
            f"{what}: expected a matrix made of parameters and constants alone (else {other}), got one that varies",
        )
    return value


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _lines.error(DtypeError, f"{what}: expected an integer, got {value!r}")
    return value


def _finite(value: Any, what: str) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _lines.error(InvalidValueError, f"{what}: expected a finite number, got {value!r}")
    return builtins.float(value)
