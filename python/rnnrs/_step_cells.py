"""One step of a cell a call: RNNCell, LSTMCell and GRUCell, with PyTorch's names for their parameters."""

from __future__ import annotations

from typing import Any

from . import _arrays, _cell, _core, _frame, cells
from ._definition import Definition
from ._parameters import Parameterised
from ._states import StateForm
from ._tape import Tape

Array = _arrays.Array


class StepCell(Parameterised):
    """A cell on its own: ``state = cell(x_t, state)``."""

    def __init__(self, cell: Definition, *, dtype: str | None = None, seed: int | None = None) -> None:
        layer = {"layer": "recurrent", **cell._layer(1, lambda _, width: width, {}), "suffix": False}
        self._make([layer], prefix=False, dtype=dtype, seed=seed)

    @staticmethod
    def _state_form(model: _core.Model) -> StateForm:
        return StateForm(model.states, stacked=False)

    @property
    def cell(self) -> Definition:
        """The cell by its name and all its options."""
        return _cell.of_layer(self._layers[0])

    def __call__(self, x: Any, state: Any = None) -> Any:
        """One step, in evaluation mode.

        Args:
            x: (B, input_size), or (input_size,).
            state: the state before, zero when None: (B, width), or (width,); a tuple where the cell has several.

        Returns:
            The state after, in the same form.
        """
        frame, array, flat = self._enter(x, state)
        _, last = self._model.forward(array, flat)
        return self._form.pack(last, batched=frame.batched)

    def record(self, x: Any, state: Any = None, *, training: bool = True, seed: int | None = None) -> Tape:
        """One step with all that its backward pass needs; ``tape.y`` is the new h."""
        frame, array, flat = self._enter(x, state)
        model, key = self._model, self._draws.seed(seed)
        version = model.version
        tape = model.record(array, flat, None, False, None, training, key)
        return Tape(
            tape, model, version, frame, self._form, lambda: model.all_states(array, flat, None, False, training, key)
        )

    def _enter(self, x: Any, state: Any) -> tuple[_frame.Frame, Array, list[Array] | None]:
        array, features = _frame.load(self._native, x)
        frame = _frame.step(array, features)
        flat = None
        if state is not None:
            flat = self._form.unpack(state, self.dtype, frame.batch, batched=frame.batched)
        return frame, frame.enter(array), flat


class RNNCell(StepCell):
    """``h = RNNCell(4, 8)(x_t, h)``: one step of Elman's network; options as ``rnnrs.cells.Elman``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        cell = cells.Elman(
            input_size,
            hidden_size,
            nonlinearity=nonlinearity,
            bias=bias,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )
        super().__init__(cell, dtype=dtype, seed=seed)


class LSTMCell(StepCell):
    """``h, c = LSTMCell(4, 8)(x_t, (h, c))``: one step of an LSTM; options as ``rnnrs.cells.LSTM``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        proj_size: int = 0,
        peephole: bool = False,
        coupled: bool = False,
        forget_gate: bool = True,
        forget_bias: float = 0.0,
        layer_norm: bool = False,
        input_gate: bool = True,
        output_gate: bool = True,
        input_activation: bool = True,
        output_activation: bool = True,
        full_gate_recurrence: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        cell = cells.LSTM(
            input_size,
            hidden_size,
            bias=bias,
            proj_size=proj_size,
            peephole=peephole,
            coupled=coupled,
            forget_gate=forget_gate,
            forget_bias=forget_bias,
            layer_norm=layer_norm,
            input_gate=input_gate,
            output_gate=output_gate,
            input_activation=input_activation,
            output_activation=output_activation,
            full_gate_recurrence=full_gate_recurrence,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )
        super().__init__(cell, dtype=dtype, seed=seed)


class GRUCell(StepCell):
    """``h = GRUCell(4, 8)(x_t, h)``: one step of a GRU; options as ``rnnrs.cells.GRU``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset_after: bool = True,
        bias: bool = True,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        cell = cells.GRU(
            input_size,
            hidden_size,
            reset_after=reset_after,
            bias=bias,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )
        super().__init__(cell, dtype=dtype, seed=seed)
