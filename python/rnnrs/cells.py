"""Cells by their options: what ``rnnrs.Recurrent`` is told to stack, reverse and run over time.

The equations themselves are the engine's. All cells take ``recurrent_dropout``, one Bernoulli mask a sequence and unit
on h(t-1) where it enters the recurrent product (Gal and Ghahramani 2016), and ``zoneout``, the probability with which
a unit of the state keeps its old value for a step (Krueger et al. 2016; in evaluation p * old + (1 - p) * new).
"""

from __future__ import annotations

from typing import Any

__all__ = ["GRU", "LSTM", "CellSpec", "Elman"]


class CellSpec:
    """A cell of the engine by its name, one of ``rnnrs._core.cells()``, and its options.

    >>> CellSpec("elman", input_size=2, hidden_size=3)
    CellSpec('elman', input_size=2, hidden_size=3)
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self.options = options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CellSpec) and (self.name, self.options) == (other.name, other.options)

    def __hash__(self) -> int:
        return hash((self.name, repr(sorted(self.options.items()))))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"CellSpec({self.name!r}, {options})"


class Elman(CellSpec):
    """The simple recurrent cell of Elman (1990), as torch.nn.RNN has it.

    h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu in place of tanh.

    Parameters: weight_ih (H, I), weight_hh (H, H), bias_ih (H,), bias_hh (H,). State: h (H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
    ) -> None:
        super().__init__(
            "elman",
            input_size=input_size,
            hidden_size=hidden_size,
            nonlinearity=nonlinearity,
            bias=bias,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )


class LSTM(CellSpec):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with forget gates (Gers, Schmidhuber and Cummins 2000).

    i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)
    f = sigmoid(W_if x + b_if + W_hf h + b_hf)
    g = tanh(W_ig x + b_ig + W_hg h + b_hg)
    o = sigmoid(W_io x + b_io + W_ho h + b_ho)
    c' = f * c + i * g
    h' = o * tanh(c')

    Parameters, in the order of gates i, f, g, o: weight_ih (4H, I), weight_hh (4H, H), bias_ih (4H,), bias_hh (4H,).
    State: h (H, or proj_size) and c (H).

    Args:
        proj_size: h' = W_hr (o * tanh(c')), of this width (Sak, Senior and Beaufays 2014); adds weight_hr.
        peephole: the gates i and f also see c, o also sees c' (Gers and Schmidhuber 2000); adds weight_p_i, weight_p_f
            and weight_p_o (H,).
        coupled: i = 1 - f (Greff et al. 2017), so there are no rows for i.
        forget_gate: False gives the LSTM of 1997, c' = c + i * g, without rows for f.
        forget_bias: added to bias_ih of the forget gate when the parameters are drawn.
        layer_norm: layer normalisation of both products and of c' (Ba, Kiros and Hinton 2016, equations 20 to 22).
    """

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
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
    ) -> None:
        super().__init__(
            "lstm",
            input_size=input_size,
            hidden_size=hidden_size,
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


class GRU(CellSpec):
    """The gated recurrent unit (Cho et al. 2014).

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn))        with reset_after, as torch.nn.GRU
    n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)        without, as in the paper's first version
    h' = (1 - z) * n + z * h

    Parameters, in the order r, z, n: weight_ih (3H, I), weight_hh (3H, H), bias_ih (3H,), bias_hh (3H,). State: h (H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset_after: bool = True,
        bias: bool = True,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
    ) -> None:
        super().__init__(
            "gru",
            input_size=input_size,
            hidden_size=hidden_size,
            reset_after=reset_after,
            bias=bias,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )
