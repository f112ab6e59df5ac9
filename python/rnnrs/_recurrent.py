"""Recurrent layers: any cell run over sequences, stacked and in both directions; RNN, LSTM and GRU are its names."""

from __future__ import annotations

from typing import Any

from . import _arrays, _cell, _frame, _numbers, cells
from ._core import DtypeError
from ._definition import Definition
from ._frame import Frame
from ._layer import Layer

Array = _arrays.Array


class Recurrent(Layer):
    """A cell over sequences: the one layer that gives directions, stacking, lengths and states to every cell.

    Args:
        cell: what runs, e.g. ``rnnrs.cells.GRU(8, 32)``, or a ``rnnrs.Cell`` of one's own. Layers above the first have
            the width below as input.
        num_layers: how many, one on top of the other.
        bidirectional: a second network runs from each row's last valid step to its first; outputs are concatenated.
        batch_first: x and y are (B, T, ...) instead of (T, B, ...). States stay (num_layers * num_directions, B, ...).
        dropout: between the layers (Zaremba, Sutskever and Vinyals 2014), in training.
        recurrent_dropout: one Bernoulli mask a sequence and unit on a state where it enters a product with a weight
            (Gal and Ghahramani 2016), in training; a cell of rnnrs.cells may say it, too.
        zoneout: the probability with which a unit of a state keeps its old value for a step, in training; outside of it
            p * old + (1 - p) * new (Krueger et al. 2016).
        scan: "loop" runs time step by step. "parallel" cuts sequences of more than 256 steps into segments that run
            side by side (Blelloch 1990), for cells whose recurrence is linear in the state, element by element (MinGRU,
            MinLSTM, SRU, QRNN, LRU, IndRNN with the identity, a cell of one's own); it pays where there are more cores
            than rows. Results have the same bits for any number of threads and on every processor, and differ from
            those of the loop by rounding.
        residual: each layer adds its input to its output, for which they must have the same width; only the first of
            several may have another, and then adds nothing.
        dense: each layer's output is its input and its result side by side (Huang et al. 2017), so that every layer
            sees all below; not with ``residual``.
        batch_norm: ``BatchNorm`` between the layers; its parameters are ``bn_weight_l0``, ``bn_bias_l0``,
            ``bn_running_mean_l0``, ``bn_running_var_l0`` above the first layer, and so on.
        dtype: "float32" (also when None, unless a Sequential says otherwise) or "float64".
        seed: of the parameters and of the dropout; None draws from the system.

    Parameters are named as in PyTorch: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, then
    ``..._l1`` and so on, the second direction's ``..._l0_reverse``; drawn uniformly from +-1/sqrt(hidden_size).

    Raises:
        InvalidValueError: a size below one, a probability outside [0, 1), or options that exclude each other.
        UnsupportedError: ``scan="parallel"`` with a recurrence that is not linear, or ``recurrent_dropout`` with a cell
            that has no recurrent product.
    """

    def __init__(
        self,
        cell: Definition,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        residual: bool = False,
        dense: bool = False,
        batch_norm: bool = False,
        scan: str = "loop",
        dtype: str | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(cell, Definition):
            raise DtypeError(f"cell: expected one of rnnrs.cells or a rnnrs.Cell, got {type(cell).__name__}")
        num_layers = _numbers.count(num_layers, "num_layers")
        regularisation = {"recurrent_dropout": recurrent_dropout, "zoneout": zoneout}
        layer = {
            "layer": "recurrent",
            **cell._layer(
                num_layers, lambda x, y: (x if dense else 0) + (2 * y if bidirectional else y), regularisation
            ),
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "dropout": dropout,
            "residual": residual,
            "dense": dense,
            "batch_norm": batch_norm,
            "scan": scan,
            "suffix": True,
        }
        self.batch_first = bool(batch_first)
        self._make([layer], prefix=False, dtype=dtype, seed=seed)

    @property
    def cell(self) -> Definition:
        """The cell: of rnnrs.cells with all its options; a user's own without its class."""
        return _cell.of_layer(self._layers[0])

    @property
    def input_size(self) -> int:
        """Features of x."""
        return self._model.input[1]

    @property
    def hidden_size(self) -> int:
        """Units a layer and direction; of a user's own cell, elements of its first state."""
        options = self._layers[0]["options"]
        return int(options["hidden_size"]) if "hidden_size" in options else self._model.states[0][4]

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
        dense: bool = False,
        batch_norm: bool = False,
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
            dense=dense,
            batch_norm=batch_norm,
            dtype=dtype,
            seed=seed,
        )


class LSTM(Recurrent):
    """Long short-term memory: ``Recurrent(cells.LSTM(...))``, as torch.nn.LSTM with more options.

    ``y, (h, c) = lstm(x, (h, c))``. The options of the cell are those of ``rnnrs.cells.LSTM``, where its equations
    stand; the others are those of ``Recurrent``. With ``full_gate_recurrence`` the state is (h, c, i, f, o).

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
        input_gate: bool = True,
        output_gate: bool = True,
        input_activation: bool = True,
        output_activation: bool = True,
        full_gate_recurrence: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        residual: bool = False,
        dense: bool = False,
        batch_norm: bool = False,
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
        super().__init__(
            cell,
            num_layers,
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            residual=residual,
            dense=dense,
            batch_norm=batch_norm,
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
        dense: bool = False,
        batch_norm: bool = False,
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
            dense=dense,
            batch_norm=batch_norm,
            dtype=dtype,
            seed=seed,
        )
