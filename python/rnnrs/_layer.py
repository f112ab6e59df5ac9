"""What every layer can do as a model of its own: run, record, differentiate, show its states, stream."""

from __future__ import annotations

from typing import Any, Literal

from . import _arrays, _frame, _losses, _numbers
from ._frame import Frame
from ._stream import Stream
from ._tape import Gradients, Tape
from ._trainable import Trainable

Array = _arrays.Array


class Layer(Trainable):
    """A layer, which on its own is also a model: it has parameters, runs, records, learns, streams and saves itself."""

    def _lay(self, array: Array, features: int) -> Frame:
        """How this layer's callers lay out the leading axes of x."""
        return _frame.points(array, features)

    def _enter(self, x: Any, state: Any, lengths: Any) -> tuple[Frame, Array, list[Array] | None, Any]:
        array, features = _frame.load(self._native, x)
        frame = self._lay(array, features)
        flat = None
        if state is not None:
            flat = self._form.unpack(state, self.dtype, frame.batch, batched=frame.batched)
        return frame, frame.enter(array), flat, _arrays.lengths(lengths, frame.batch)

    def _run(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Array, Any]:
        """(y, final state) in evaluation mode."""
        frame, array, flat, sizes = self._enter(x, state, lengths)
        y, last = self._model.forward(array, flat, sizes, frame.batch_first)
        return frame.leave(y, steps=self._model.output_steps), self._form.pack(last, batched=frame.batched)

    def record(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        *,
        checkpoint: int | None = None,
        training: bool = True,
        seed: int | None = None,
    ) -> Tape:
        """Runs forward and keeps what the backward pass needs.

        Args:
            x: as in a call of the model.
            lengths: as in a call of the model.
            state: as in a call of the model.
            checkpoint: keep only every K-th step's state (rounded up to a multiple of 16) and compute the rest again in
                the backward pass: memory grows with T / K + K instead of T, the result is the same to the bit.
            training: whether dropout and zoneout draw at random.
            seed: keys those draws; None takes the model's next.

        Returns:
            A Tape with ``y``, ``state``, ``states`` and ``backward(dy, dstate)``.
        """
        frame, array, flat, sizes = self._enter(x, state, lengths)
        kept = _numbers.optional(checkpoint, "checkpoint")
        model, key = self._model, self._draws.seed(seed)
        version = model.version
        tape = model.record(array, flat, sizes, frame.batch_first, kept, training, key)
        return Tape(
            tape,
            model,
            version,
            frame,
            self._form,
            lambda: model.all_states(array, flat, sizes, frame.batch_first, training, key),
        )

    def states(self, x: Any, state: Any = None, lengths: Any = None) -> Any:
        """The states after every step, in evaluation mode.

        The form is that of the final state with the steps as first axis: for a recurrent layer arrays of shape
        (T, num_layers * num_directions, B, width). At and beyond a row's length the state stays what it was.
        """
        frame, array, flat, sizes = self._enter(x, state, lengths)
        return self._form.pack(self._model.all_states(array, flat, sizes, frame.batch_first), batched=frame.batched)

    def value_and_grad(
        self,
        x: Any,
        y: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        state: Any = None,
        loss: _losses.LossLike = "cross_entropy",
        training: bool = True,
        seed: int | None = None,
    ) -> tuple[float, Gradients]:
        """The loss of one batch and its exact gradients.

        Args:
            x: as in a call of the model.
            lengths: as in a call of the model.
            state: as in a call of the model.
            y: the targets: integer classes for ``"cross_entropy"``, else numbers in the shape of the outputs.
            mask: weights of the steps (or of the rows, where the model gives one result a row): the loss is
                sum(mask * l) / sum(mask) over the valid steps.
            loss: see ``rnnrs.losses``; or your function ``loss(y_pred, y_true) -> (value, gradient)``, gradient with
                respect to y_pred, which is given ``mask`` as a third argument when there is one.
            training: whether dropout and zoneout draw at random.
            seed: keys those draws; None takes the model's next.

        Returns:
            (loss in nats a step or in units of your function, Gradients); the gradients' ``x`` is None.
        """
        chosen = _losses.resolve(loss)
        if not isinstance(chosen, _losses.Loss):
            tape = self.record(x, state, lengths, training=training, seed=seed)
            value, dy = _losses.call(chosen, tape.y, y, mask)
            return value, tape.backward(dy)
        frame, array, flat, sizes = self._enter(x, state, lengths)
        steps = self._model.output_steps
        targets = chosen.targets(y, self.dtype, frame.outer if steps else (frame.batch,), self._model.output_size)
        weights = _losses.weights(mask, self.dtype, frame.outer if steps else (frame.batch,))
        if steps:
            targets = frame.enter(targets)
            weights = None if weights is None else frame.enter(weights)
        value, _, grads, _ = self._model.value_and_grad(
            array, targets, chosen.spec, weights, flat, sizes, frame.batch_first, training, self._draws.seed(seed)
        )
        return value, Gradients(grads, frame, self._form)

    def stream(self, batch_size: int = 1, weights: Literal["full", "bfloat16", "int8"] = "full") -> Stream:
        """The model as a machine that takes one step a call and keeps its own state; see ``Stream``.

        Args:
            batch_size: Rows of each step.
            weights: How matrices are kept. ``"full"``: as they are, steps give the bits of a call over the sequence.
                The speed of a stream of 256 units and more is that of reading its matrices. Of a float32 model
                ``"bfloat16"`` keeps the upper half of each number (relative error at most 2⁻⁹), ``"int8"`` whole
                numbers from −127 to 127 and a scale for each output of a product (error at most 1/254 of the largest
                weight that leads to it). Sums, states, biases and embeddings stay float32. The copy is made when the
                stream is, and again when parameters have changed.

        Raises:
            DtypeError: narrow weights for a float64 model.
            UnsupportedError: a model that needs the whole sequence.
        """
        rows = _numbers.count(batch_size, "batch_size")
        return Stream(self._native.stream(rows, weights), self._model, self._form, rows)
