"""Generation: a model's outputs fed back to it as inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _arrays, _batches, _frame, _numbers
from ._core import InvalidValueError, UnsupportedError

if TYPE_CHECKING:
    from ._parameters import Parameterised

Array = _arrays.Array


def generate(
    owner: Parameterised, start: Any, steps: int, temperature: float, *, top_k: int | None, seed: int | None
) -> Array:
    """See ``Trainable.generate``."""
    model = owner._native
    kind, width = model.input
    tokens = kind == "tokens"
    _batches.forward_only(model, "generate")
    if not model.output_steps or model.output_size != width:
        steps_or_last = "at every step" if model.output_steps else "at the last step only"
        raise UnsupportedError(
            f"generate: expected {width} outputs at every step to feed back, got {model.output_size} {steps_or_last}"
        )
    steps = _numbers.count(steps, "steps", 0)
    if not temperature >= 0:
        raise InvalidValueError(f"temperature: expected at least 0, got {temperature}")
    if not tokens and (temperature != 1.0 or top_k is not None):
        raise InvalidValueError(
            "temperature, top_k: expected to be left out for a model of numbers, which draws nothing"
        )
    top_k = _numbers.optional(top_k, "top_k")
    if top_k is not None and top_k > width:
        raise InvalidValueError(f"top_k: expected 1 to {width}, got {top_k}")
    array, features = _frame.load(model, start, "start")
    batched = array.ndim - features == 2
    rows = array if batched else array[None]
    if rows.ndim - features != 2 or not rows.shape[1]:
        raise InvalidValueError(f"start: expected one or more sequences of at least one step, got shape {array.shape}")
    random = np.random.default_rng(owner._draws.seed(seed))
    outputs, state = model.forward(rows, batch_first=True)
    stream = model.stream(rows.shape[0])
    stream.state = state
    y = outputs[:, -1]
    made = np.empty((rows.shape[0], steps, *rows.shape[2:]), rows.dtype)
    for step in range(steps):
        made[:, step] = _draw(y, temperature, top_k, random) if tokens else y
        if step + 1 < steps:
            y = stream.step(made[:, step])
    return made if batched else made[0]


def _draw(logits: Array, temperature: float, top_k: int | None, random: np.random.Generator) -> NDArray[np.int64]:
    """One token a row from softmax(logits / temperature)."""
    if temperature == 0:
        return np.asarray(logits.argmax(axis=-1), np.int64)
    scores = logits.astype(np.float64)
    if top_k is not None:
        scores[scores < np.sort(scores, axis=-1)[:, -top_k, None]] = -np.inf
    shares = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature).cumsum(axis=-1)
    aims = random.random((len(shares), 1)) * shares[:, -1:]
    return np.asarray((shares <= aims).sum(axis=-1).clip(max=shares.shape[1] - 1), np.int64)
