"""Streams: a model that takes one step a call and keeps its state between calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _arrays, _core
from ._states import StateForm

Array = _arrays.Array


class Stream:
    """One step a call, or several, in evaluation mode; steps give the bits that one call over the whole sequence gives.

    Made by ``model.stream(batch_size, weights)``, with the state at zero.
    """

    def __init__(self, stream: _core.Stream, model: _core.Model, form: StateForm, batch_size: int) -> None:
        self._native = stream
        self._step = stream.step
        self._model = model
        self._form = form
        self._batch_size = batch_size
        self._tokens = model.input[0] == "tokens"
        self._dtype = np.dtype(np.int64 if self._tokens else model.dtype)

    def step(self, x_t: Any) -> Array:
        """The output of the next step.

        Args:
            x_t: (F,), or (B, F); for a model of tokens an integer, or (B,).

        Returns:
            (H,), or (B, H): without a batch axis where x_t has none.
        """
        # A step can take less than a microsecond, so an array that needs no conversion gets no further look.
        if type(x_t) is np.ndarray and x_t.dtype is self._dtype:
            return self._step(x_t)
        if self._tokens:
            tokens = _arrays.integers(x_t, "x_t")
            return self._step(tokens if tokens.ndim else int(tokens))
        return self._step(_arrays.floats(x_t, self._model.dtype, "x_t"))

    def steps(self, x: Any) -> Array:
        """The outputs of the next steps, as so many calls of ``step`` give them.

        Args:
            x: (T, F), or (T, B, F); for a model of tokens (T,), or (T, B).

        Returns:
            (T, H), or (T, B, H): without a batch axis where x has none. After an error, Ctrl-C included, the state is
            what it was before the call.
        """
        read = _arrays.integers(x, "x") if self._tokens else _arrays.floats(x, self._model.dtype, "x")
        return self._native.steps(read)

    @property
    def state(self) -> Any:
        """The state, in the form in which the model returns it; may be set."""
        return self._form.pack(self._native.state)

    @state.setter
    def state(self, value: Any) -> None:
        self._native.state = self._form.unpack(value, self._model.dtype, self._batch_size)

    def reset(self) -> None:
        """Sets the state to zero."""
        self._native.reset()
