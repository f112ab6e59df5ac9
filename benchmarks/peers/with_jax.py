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


def _project(problem: Problem, w: dict[str, Any], end: str, x: Any) -> Any:
    """Of all steps what the time loop need not compute: the products with the inputs, and the biases."""
    bias = w[f"bias_ih{end}"] if f"bias_ih{end}" in w else w[f"bias{end}"]
    if f"bias_hh{end}" in w and problem.cell != "gru":  # where the GRU's second bias stands, it is scaled by a gate
        bias = bias + w[f"bias_hh{end}"]
    return x @ w[f"weight_ih{end}"].T + bias


def _step(
    problem: Problem, w: dict[str, Any], end: str, state: tuple[Any, ...], projected: Any
) -> tuple[tuple[Any, ...], Any]:
    h, w_h = state[0], w[f"weight_hh{end}"]
    if problem.cell == "indrnn":
        h = jax.nn.relu(projected + w_h * h)
        return (h,), h
    if problem.cell == "rnn":
        h = jnp.tanh(projected + h @ w_h.T)
        return (h,), h
    if problem.cell == "mgu":
        (z_f, z_n), (w_f, w_n) = jnp.split(projected, 2, axis=-1), jnp.split(w_h, 2)
        f = jax.nn.sigmoid(z_f + h @ w_f.T)
        h = (1 - f) * h + f * jnp.tanh(z_n + (f * h) @ w_n.T)
        return (h,), h
    if problem.cell == "gru":
        x_r, x_z, x_n = jnp.split(projected, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(h @ w_h.T + w[f"bias_hh{end}"], 3, axis=-1)
        z = jax.nn.sigmoid(x_z + h_z)
        h = (1 - z) * jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n) + z * h
        return (h,), h
    c = state[1]
    i, f, g, o = jnp.split(projected + h @ w_h.T, 4, axis=-1)
    if problem.cell == "peephole":
        i, f = (z + w[f"weight_p_{gate}{end}"] * c for z, gate in ((i, "i"), (f, "f")))
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    if problem.cell == "peephole":
        o = o + w[f"weight_p_o{end}"] * c
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def _network(problem: Problem, w: dict[str, Any], y: Any) -> tuple[Any, tuple[Any, ...]]:
    zeros = jnp.zeros((problem.batch, problem.hidden), jnp.float32)
    state: tuple[Any, ...] = ()
    for layer in range(problem.layers):
        end = f"_l{layer}"
        projected = _project(problem, w, end, y)
        state, y = jax.lax.scan(partial(_step, problem, w, end), (zeros,) * problem.states, projected)
    return y, state


def train(problem: Problem) -> Contender:
    weights, x, dy = jax.device_put((problem.weights, problem.x, problem.dy))
    last = {}

    def both(weights: Any, x: Any, dy: Any) -> Any:
        y, back = jax.vjp(lambda w, x: _network(problem, w, x)[0], weights, x)
        return y, back(dy)

    compiled = jax.jit(both)

    def run() -> None:
        last["all"] = jax.block_until_ready(compiled(weights, x, dy))

    def results() -> dict[str, Array]:
        y, (grads, dx) = last["all"]
        return {"y": np.asarray(y), "dx": np.asarray(dx), **{name: np.asarray(g) for name, g in grads.items()}}

    return Contender(run, results)


def train_loop(problem: Problem) -> Contender:
    """What JAX compiles is a loop written by hand in any case."""
    return train(problem)


def forward(problem: Problem) -> Contender:
    weights, x = jax.device_put((problem.weights, problem.x))
    compiled, last = jax.jit(partial(_network, problem)), {}

    def run() -> None:
        last["all"] = jax.block_until_ready(compiled(weights, x))

    def results() -> dict[str, Array]:
        y, states = last["all"]
        return {"y": np.asarray(y), **{f"state{k}": np.asarray(state) for k, state in enumerate(states)}}

    return Contender(run, results)


def stream(problem: Problem) -> Contender:
    weights = jax.device_put(problem.weights)
    compiled = jax.jit(lambda w, state, x: _step(problem, w, "_l0", state, _project(problem, w, "_l0", x)))
    zeros, last = jnp.zeros((1, problem.hidden), jnp.float32), {}
    steps = list(problem.x)

    def run() -> None:
        state = (zeros,) * problem.states
        for x in steps:
            state, y = compiled(weights, state, x)
            out = np.asarray(y)
        last["y"] = out

    return Contender(run, lambda: {"y": last["y"][0]})
