"""Training as methods of every model: fit, evaluate, predict, generate. The work stands in the modules they call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _arrays
from ._losses import LossLike
from ._parameters import Parameterised

if TYPE_CHECKING:
    from ._history import History
    from .callbacks import Callback
    from .metrics import MetricLike
    from .optim import Optimizer

Array = _arrays.Array


class Trainable(Parameterised):
    """What learns from data, whose rows are always (N, T, F), or (N, T) tokens."""

    def fit(
        self,
        x: Any,
        y: Any = None,
        lengths: Any = None,
        mask: Any = None,
        *,
        loss: LossLike = "cross_entropy",
        optimizer: Optimizer | None = None,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Any, ...] | None = None,
        metrics: Sequence[MetricLike] = (),
        clip_norm: float | None = None,
        clip_value: float | None = None,
        bptt: int | None = None,
        stateful: bool = False,
        shuffle: bool | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        seed: int | None = None,
        resume: str | os.PathLike[str] | None = None,
    ) -> History:
        """Trains the model by backpropagation through time.

        Args:
            x: (N, T, F), or (N, T) tokens; or a list of N sequences (T_i, F) or (T_i,), put into batches with others of
                like length; or, with ``y`` left out, an iterable of batches ``(x, y)``, ``(x, y, lengths)`` or
                ``(x, y, lengths, mask)`` (or a function that returns one, called once an epoch).
            y: targets for every step, (N, T) or (N, T, F), or for every row, (N,) or (N, F), where the model gives one
                result a row (``Last``); lists of arrays for lists.
            lengths: (N,) valid steps of each row.
            mask: weights of the steps (N, T), or of the rows.
            loss: ``"cross_entropy"``, ``"mse"``, ``"bernoulli"``, an object of ``rnnrs.losses``, or your function
                ``loss(y_pred, y_true) -> (value, gradient)``.
            optimizer: of ``rnnrs.optim``; Adam(1e-3) when None. Learning-rate schedules belong to it.
            epochs: passes over the data, those before a ``resume`` included.
            batch_size: rows an update.
            validation_data: ``(x, y)``, ``(x, y, lengths)`` or ``(x, y, lengths, mask)``, measured after each epoch.
            metrics: measured on ``validation_data``; see ``evaluate``.
            clip_norm: the largest Euclidean norm of all gradients together (Pascanu, Mikolov and Bengio 2013).
            clip_value: the largest magnitude of one element of a gradient.
            bptt: truncated backpropagation (Williams and Peng 1990): rows are cut into pieces of this many steps, an
                update each; the state is carried from piece to piece, the gradient is not.
            stateful: row i of a batch goes on where row i of the batch before ended: the state is carried from batch to
                batch, and is zero at the start of an epoch. Batches are then taken in order.
            shuffle: whether to draw the order of rows anew each epoch; when None, unless ``stateful``.
            callbacks: of ``rnnrs.callbacks``.
            progress: show loss and speed, through tqdm where it is installed and as plain lines where it is not.
            seed: of the order of rows and of dropout; None takes the model's next.
            resume: a file written by ``callbacks.Checkpoint``: goes on from there, with the bits of an uncut run when
                all other arguments are the same.

        Returns:
            History: the losses and metrics of each epoch, the loss of each update, ``plot()``.

        Raises:
            ShapeError, DtypeError, InvalidValueError, UnsupportedError: data or options that do not fit.
            KeyboardInterrupt: on Ctrl-C; the model is as after the last complete update.
        """
        from . import _fit

        settings = _fit.Settings(
            epochs=epochs,
            clip_norm=clip_norm,
            clip_value=clip_value,
            bptt=bptt,
            stateful=stateful,
            shuffle=not stateful if shuffle is None else shuffle,
            progress=progress,
        )
        return _fit.fit(
            self,
            (x, y, lengths, mask),
            loss=loss,
            optimizer=optimizer,
            batch_size=batch_size,
            validation_data=validation_data,
            metrics=metrics,
            callbacks=callbacks,
            seed=seed,
            resume=resume,
            settings=settings,
        )

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        lengths: Any = None,
        mask: Any = None,
        *,
        loss: LossLike = "cross_entropy",
        metrics: Sequence[MetricLike] = (),
        batch_size: int = 32,
        bptt: int | None = None,
        progress: bool = False,
    ) -> dict[str, float]:
        """The loss and the metrics over data, in evaluation mode.

        Args:
            x: data as for ``fit``.
            y: targets.
            lengths: (N,) valid steps of each row.
            mask: weights of the steps, or of the rows.
            loss: as for ``fit``.
            metrics: ``"accuracy"``, ``"bits"`` (the loss in bits a step, for losses in nats), or your functions
                ``metric(y_pred, y_true, weights) -> float``, the mean over steps of the given weights.
            batch_size: rows at once.
            bptt: steps at once; only memory depends on it.
            progress: show it.

        Returns:
            ``{"loss": ..., "accuracy": ...}``: means over all valid steps.
        """
        from . import _evaluate

        return _evaluate.evaluate(
            self,
            (x, y, lengths, mask),
            loss=loss,
            metrics=metrics,
            batch_size=batch_size,
            bptt=bptt,
            progress=progress,
        )

    def predict(self, x: Any, lengths: Any = None, *, batch_size: int = 32, progress: bool = False) -> Any:
        """The outputs for data of any size, in evaluation mode.

        Args:
            x: (N, T, F), or (N, T) tokens, or a list of sequences.
            lengths: (N,) valid steps of each row.
            batch_size: rows at once; the result does not depend on it.
            progress: show it.

        Returns:
            (N, T, outputs), or (N, outputs) after ``Last``; for a list of sequences the list of their outputs.
        """
        from . import _evaluate

        return _evaluate.predict(self, x, lengths, batch_size=batch_size, progress=progress)

    def generate(
        self, start: Any, steps: int, temperature: float = 1.0, *, top_k: int | None = None, seed: int | None = None
    ) -> Array:
        """Continues sequences by feeding the model's outputs back.

        Args:
            start: what comes before, (T,) or (N, T) tokens for a model of tokens, else (T, F) or (N, T, F).
            steps: how many to add.
            temperature: tokens are drawn from softmax(y / temperature); 0 takes the likeliest. For models of numbers,
                whose output is the next input as it is, it must stay 1.
            top_k: draw among the likeliest k tokens only.
            seed: of the draws; None takes the model's next.

        Returns:
            What was added: (steps,) or (N, steps) tokens, or (steps, F) or (N, steps, F).

        Raises:
            UnsupportedError: the output cannot be the next input, or the model has a reverse direction.
        """
        from . import _generate

        return _generate.generate(self, start, steps, temperature, top_k=top_k, seed=seed)
