"""JAX: cells as `lax.scan` with the input products hoisted out of the loop, compiled by `jit`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..problem import Array, Contender, Problem

VERSION = jax.__version__


def setup(threads: int) -> None:
    """The threads of XLA follow the processors that the process may use, which the runner has set."""


def _step(weights: dict[str, Any], state: tuple[Any, Any], projected: Any) -> tuple[tuple[Any, Any], Any]:
    h, c = state
    i, f, g, o = jnp.split(projected + h @ weights["weight_hh_l0"].T, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def _project(weights: dict[str, Any], x: Any) -> Any:
    return x @ weights["weight_ih_l0"].T + (weights["bias_ih_l0"] + weights["bias_hh_l0"])


def _lstm(weights: dict[str, Any], x: Any) -> tuple[Any, tuple[Any, Any]]:
    zeros = jnp.zeros((x.shape[1], weights["weight_hh_l0"].shape[1]), x.dtype)
    state, y = jax.lax.scan(lambda s, p: _step(weights, s, p), (zeros, zeros), _project(weights, x))
    return y, state


def train(problem: Problem) -> Contender:
    weights, x, dy = jax.device_put((problem.weights, problem.x, problem.dy))
    last = {}

    @jax.jit
    def both(weights: Any, x: Any, dy: Any) -> Any:
        y, back = jax.vjp(lambda w, x: _lstm(w, x)[0], weights, x)
        return y, back(dy)

    def run() -> None:
        last["all"] = jax.block_until_ready(both(weights, x, dy))

    def results() -> dict[str, Array]:
        y, (grads, dx) = last["all"]
        return {"y": np.asarray(y), "dx": np.asarray(dx), **{name: np.asarray(g) for name, g in grads.items()}}

    return Contender(run, results)


def _loop_step(w: dict[str, Any], end: str, state: tuple[Any, ...], projected: Any) -> tuple[Any, Any]:
    if f"weight_p_i{end}" not in w:
        h = jax.nn.relu(projected + w[f"weight_hh{end}"] * state[0])
        return (h,), h
    h, c = state
    i, f, g, o = jnp.split(projected + h @ w[f"weight_hh{end}"].T, 4, axis=-1)
    i, f = (jax.nn.sigmoid(z + w[f"weight_p_{gate}{end}"] * c) for z, gate in ((i, "i"), (f, "f")))
    c = f * c + i * jnp.tanh(g)
    h = jax.nn.sigmoid(o + w[f"weight_p_o{end}"] * c) * jnp.tanh(c)
    return (h, c), h


def train_loop(problem: Problem) -> Contender:
    weights, x, dy = jax.device_put((problem.weights, problem.x, problem.dy))
    zeros, last = jnp.zeros((problem.batch, problem.hidden), jnp.float32), {}

    def network(w: dict[str, Any], y: Any) -> Any:
        for layer in range(problem.layers):
            end = f"_l{layer}"
            bias = sum(value for name, value in w.items() if name.startswith("bias") and name.endswith(end))
            state = (zeros,) * (1 if problem.cell == "indrnn" else 2)
            projected = y @ w[f"weight_ih{end}"].T + bias
            _, y = jax.lax.scan(partial(_loop_step, w, end), state, projected)
        return y

    @jax.jit
    def both(weights: Any, x: Any, dy: Any) -> Any:
        y, back = jax.vjp(network, weights, x)
        return y, back(dy)

    def run() -> None:
        last["all"] = jax.block_until_ready(both(weights, x, dy))

    def results() -> dict[str, Array]:
        y, (grads, dx) = last["all"]
        return {"y": np.asarray(y), "dx": np.asarray(dx), **{name: np.asarray(g) for name, g in grads.items()}}

    return Contender(run, results)


def forward(problem: Problem) -> Contender:
    weights, x = jax.device_put((problem.weights, problem.x))
    compiled, last = jax.jit(_lstm), {}

    def run() -> None:
        last["all"] = jax.block_until_ready(compiled(weights, x))

    def results() -> dict[str, Array]:
        y, (h, c) = last["all"]
        return {"y": np.asarray(y), "h": np.asarray(h), "c": np.asarray(c)}

    return Contender(run, results)


def stream(problem: Problem) -> Contender:
    weights = jax.device_put(problem.weights)
    compiled = jax.jit(lambda w, state, x: _step(w, state, _project(w, x)))
    zeros, last = jnp.zeros((1, problem.hidden), jnp.float32), {}
    steps = list(problem.x)

    def run() -> None:
        state = (zeros, zeros)
        for x in steps:
            state, y = compiled(weights, state, x)
            out = np.asarray(y)
        last["y"] = out

    return Contender(run, lambda: {"y": last["y"][0]})
