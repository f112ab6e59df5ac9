"""Recurrent layers: any cell run over sequences, stacked and in both directions; RNN, LSTM and GRU are its names."""

from __future__ import annotations

from typing import Any

from . import _arrays, _frame, cells
from ._frame import Frame
from ._layer import Layer

Array = _arrays.Array


class Recurrent(Layer):
    """A cell over sequences: the one layer that gives directions, stacking, lengths and states to every cell.

    Args:
        cell: what runs, e.g. ``rnnrs.cells.GRU(8, 32)``. Layers above the first have the width below as input.
        num_layers: how many, one on top of the other.
        bidirectional: a second network runs from each row's last valid step to its first; outputs are concatenated.
        batch_first: x and y are (B, T, ...) instead of (T, B, ...). States stay (num_layers * num_directions, B, ...).
        dropout: between the layers (Zaremba, Sutskever and Vinyals 2014), in training.
        residual: each layer adds its input to its output, for which they must have the same width; only the first of
            several may have another, and then adds nothing.
        dtype: "float32" (also when None, unless a Sequential says otherwise) or "float64".
        seed: of the parameters and of the dropout; None draws from the system.

    Parameters are named as in PyTorch: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, then
    ``..._l1`` and so on, the second direction's ``..._l0_reverse``; drawn uniformly from +-1/sqrt(hidden_size).

    Raises:
        InvalidValueError: a size below one, a probability outside [0, 1), or options that exclude each other.
    """

    def __init__(
        self,
        cell: cells.CellSpec,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        residual: bool = False,
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        layer = {
            "layer": "recurrent",
            "cell": cell.name,
            "options": cell.options,
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "dropout": dropout,
            "residual": residual,
            "suffix": True,
        }
        self.batch_first = bool(batch_first)
        self._make([layer], prefix=False, dtype=dtype, seed=seed)

    @property
    def cell(self) -> cells.CellSpec:
        """The cell by its name and all its options."""
        return cells.CellSpec(self._layers[0]["cell"], **self._layers[0]["options"])

    @property
    def input_size(self) -> int:
        """Features of x."""
        return int(self._layers[0]["options"]["input_size"])

    @property
    def hidden_size(self) -> int:
        """Units a layer and direction."""
        return int(self._layers[0]["options"]["hidden_size"])

    @property
    def num_layers(self) -> int:
        """How many layers are stacked."""
        return int(self._layers[0]["num_layers"])

    @property
    def bidirectional(self) -> bool:
        """Whether there is a second direction."""
        return bool(self._layers[0]["bidirectional"])

    def _lay(self, array: Array, features: int) -> Frame:
        return _frame.sequence(array, features, batch_first=self.batch_first)

    def _notes(self) -> dict[str, Any]:
        return {**super()._notes(), "batch_first": self.batch_first}

    def _read_notes(self, notes: dict[str, Any]) -> None:
        super()._read_notes(notes)
        self.batch_first = bool(notes.get("batch_first", False))

    def __call__(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Array, Any]:
        """Runs over sequences, in evaluation mode.

        Args:
            x: (T, B, input_size), (B, T, input_size) with ``batch_first``, or one sequence (T, input_size).
            state: the initial state, zero when None: one array (num_layers * num_directions, B, width) for each name of
                the cell's states, as a tuple where there are several; without B for one sequence.
            lengths: (B,) valid steps of each row, 0 to T, in any order. Steps beyond are not computed: there y is 0 and
                the state stays.

        Returns:
            (y, state): y like x with num_directions * width features, and the final state in the initial one's form.

        Raises:
            ShapeError, DtypeError, InvalidValueError: an argument does not fit; the message says what was expected.
        """
        return self._run(x, state, lengths)


class RNN(Recurrent):
    """Elman's network (1990): ``Recurrent(cells.Elman(...))``, as torch.nn.RNN.

    ``y, h = rnn(x, h)``. The options of the cell are those of ``rnnrs.cells.Elman``, the others those of ``Recurrent``.

    >>> import numpy as np
    >>> y, h = RNN(4, 8, seed=0)(np.zeros((5, 2, 4)))
    >>> y.shape, h.shape
    ((5, 2, 8), (1, 2, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        residual: bool = False,
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
        super().__init__(
            cell,
            num_layers,
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            residual=residual,
            dtype=dtype,
            seed=seed,
        )


class LSTM(Recurrent):
    """Long short-term memory: ``Recurrent(cells.LSTM(...))``, as torch.nn.LSTM with more options.

    ``y, (h, c) = lstm(x, (h, c))``. The options of the cell are those of ``rnnrs.cells.LSTM``, where its equations
    stand; the others are those of ``Recurrent``.

    >>> import numpy as np
    >>> y, (h, c) = LSTM(4, 8, num_layers=2, seed=0)(np.zeros((5, 3, 4)), lengths=[5, 0, 2])
    >>> y.shape, h.shape, c.shape
    ((5, 3, 8), (2, 3, 8), (2, 3, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        proj_size: int = 0,
        peephole: bool = False,
        coupled: bool = False,
        forget_gate: bool = True,
        forget_bias: float = 0.0,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        residual: bool = False,
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
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )
        super().__init__(
            cell,
            num_layers,
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            residual=residual,
            dtype=dtype,
            seed=seed,
        )


class GRU(Recurrent):
    """The gated recurrent unit: ``Recurrent(cells.GRU(...))``, as torch.nn.GRU; ``reset_after=False`` is the paper's.

    ``y, h = gru(x, h)``. The options of the cell are those of ``rnnrs.cells.GRU``, where its equations stand; the
    others are those of ``Recurrent``.

    >>> import numpy as np
    >>> y, h = GRU(4, 8, bidirectional=True, seed=0)(np.zeros((5, 4)))
    >>> y.shape, h.shape
    ((5, 16), (2, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        reset_after: bool = True,
        bias: bool = True,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        residual: bool = False,
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
        super().__init__(
            cell,
            num_layers,
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            residual=residual,
            dtype=dtype,
            seed=seed,
        )
