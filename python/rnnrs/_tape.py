"""Tapes and gradients: a recorded forward pass, its exact backward pass, and what that returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import _arrays, _core
from ._core import ShapeError, StaleTapeError
from ._frame import Frame
from ._states import StateForm

Array = _arrays.Array


class Tape:
    """A forward pass that can be differentiated.

    Made by ``record``. It belongs to the parameters it was made with: after they change, ``backward`` raises
    StaleTapeError.
    """

    def __init__(
        self,
        tape: _core.Tape,
        model: _core.Model,
        version: int,
        frame: Frame,
        form: StateForm,
        states: Callable[[], list[Array]],
    ) -> None:
        self._tape = tape
        self._model = model
        self._version = version
        self._frame = frame
        self._form = form
        self._states = states

    @property
    def y(self) -> Array:
        """The outputs, laid out as the call laid them out."""
        return self._frame.leave(self._tape.y, steps=self._model.output_steps)

    @property
    def state(self) -> Any:
        """The final state, in the form in which the model returns it."""
        return self._form.pack(self._tape.state, batched=self._frame.batched)

    @property
    def states(self) -> Any:
        """The states after every step: the form of ``state`` with the steps as first axis (computed when asked for)."""
        if self._model.version != self._version:
            raise StaleTapeError(
                "states: expected the parameters that this tape was recorded with, but they have changed"
            )
        return self._form.pack(self._states(), batched=self._frame.batched)

    def backward(self, dy: Any = None, dstate: Any = None) -> Gradients:
        """Exact backpropagation through time (Werbos 1990).

        Args:
            dy: the gradient of the loss with respect to ``y``, in its shape; None where the loss does not see ``y``.
            dstate: the gradient with respect to the final state, in its form; None, or None in places, where the loss
                does not see it.

        Returns:
            The gradients of the parameters, of x and of the initial state. The tape may be used again.

        Raises:
            ShapeError: dy or dstate do not have the shapes of y and state.
            StaleTapeError: the parameters changed since the tape was recorded.
        """
        frame, model = self._frame, self._model
        lead = frame.outer if model.output_steps else (frame.batch,)
        shape = (*lead, model.output_size)
        array = np.zeros(shape, model.dtype) if dy is None else _arrays.floats(dy, model.dtype, "dy")
        if array.shape != shape:
            raise ShapeError(f"dy: expected the shape of y, {shape}, got {array.shape}")
        inner = frame.enter(array) if model.output_steps else array
        flat = None
        if dstate is not None:
            flat = self._form.unpack_gradient(dstate, model.dtype, frame.batch, batched=frame.batched)
        return Gradients(self._tape.backward(inner, flat), frame, self._form)


class Gradients:
    """Gradients of a loss: of the parameters by name, of the input, of the initial state."""

    def __init__(self, grads: _core.Gradients, frame: Frame, form: StateForm) -> None:
        self._native = grads
        self._frame = frame
        self._form = form

    @property
    def params(self) -> Mapping[str, Array]:
        """The gradient of each parameter, by the parameter's name."""
        return _Named(self._native)

    @property
    def x(self) -> Array | None:
        """The gradient of x, in its shape; None where x are tokens, and after ``value_and_grad``."""
        dx = self._native.x
        return None if dx is None else self._frame.leave(dx)

    @property
    def state(self) -> Any:
        """The gradient of the initial state, in its form."""
        return self._form.pack(self._native.state, batched=self._frame.batched)

    def norm(self) -> float:
        """The Euclidean norm over the gradients of all parameters together."""
        return self._native.norm()

    def clip_norm(self, limit: float) -> float:
        """Scales all parameters' gradients so that their norm is at most ``limit``; returns the norm before.

        As in Pascanu, Mikolov and Bengio (2013).
        """
        return self._native.clip_norm(limit)

    def clip_value(self, limit: float) -> None:
        """Moves every element of the parameters' gradients into [-limit, limit]."""
        self._native.clip_value(limit)

    def add(self, other: Gradients) -> None:
        """Adds another's gradients of the parameters to these, in place: one update from several batches."""
        self._native.add(other._native)

    def scale(self, factor: float) -> None:
        """Multiplies the parameters' gradients in place."""
        self._native.scale(factor)


class _Named(Mapping[str, Array]):
    """The parameters' gradients, read from the engine one at a time."""

    def __init__(self, grads: _core.Gradients) -> None:
        self._grads = grads
        self._names = grads.names

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        return self._grads.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
