"""Optimizers: what one update makes of the gradients. Rules, options and the place of eps are PyTorch's.

All take the learning rate ``lr``, which may be changed at any time, a ``schedule`` of ``rnnrs.schedules`` that
multiplies it, and ``weight_decay``, added to the gradient as weight_decay * p (AdamW: taken from the parameter as
lr * weight_decay * p). Frozen parameters are passed over. An update is whole or, on an error, not made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from . import _core
from ._core import InvalidValueError
from ._parameters import Parameterised
from ._spec import dumps
from ._tape import Gradients
from .schedules import Constant, Schedule

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]


class Optimizer:
    """What all optimizers have in common."""

    def __init__(self, name: str, lr: float, schedule: Schedule | None, **options: Any) -> None:
        self._native = _core.Optimizer(dumps({"optimizer": name, **options}))
        self.lr = lr
        self.schedule = Constant() if schedule is None else schedule

    @property
    def lr(self) -> float:
        """The learning rate, before the schedule's factor."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        if not (value >= 0 and math.isfinite(value)):
            raise InvalidValueError(f"lr: expected a finite number not below 0, got {value}")
        self._lr = float(value)

    @property
    def updates(self) -> int:
        """How many updates were made."""
        return self._native.updates

    @property
    def rate(self) -> float:
        """The learning rate of the next update: lr times the schedule's factor."""
        return self._lr * self.schedule.factor(self.updates)

    def step(self, model: Parameterised, grads: Gradients) -> None:
        """One update of the model's parameters.

        An optimizer belongs to the parameters, by name and shape, of the first model it is given.
        """
        self._native.step(model._native, grads._native, self.rate)

    def state_dict(self) -> dict[str, Any]:
        """All that resuming needs: with ``load_state_dict`` training goes on with the same bits."""
        return {
            "spec": self._native.spec,
            "lr": self._lr,
            "schedule": self.schedule.state_dict(),
            "state": self._native.to_bytes(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from another optimizer of the same kind and options.

        Raises:
            InvalidValueError: it is of another kind or has other options.
            FileError: its bytes are damaged.
        """
        missing = {"spec", "lr", "schedule", "state"} - state.keys()
        if missing:
            raise InvalidValueError(f"state: expected what state_dict gives, got nothing for {sorted(missing)}")
        native = _core.Optimizer.from_bytes(state["state"])
        if json.loads(native.spec) != json.loads(self._native.spec):
            raise InvalidValueError(f"state: expected that of {self._native.spec}, got {native.spec}")
        self.schedule.load_state_dict(dict(state["schedule"]))
        self.lr = state["lr"]
        self._native = native

    def __getstate__(self) -> dict[str, Any]:
        return {"schedule": self.schedule, "lr": self._lr, "state": self._native.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._native = _core.Optimizer.from_bytes(state["state"])
        self.schedule = state["schedule"]
        self.lr = state["lr"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self._lr}, {self._native.spec}, {self.updates} updates)"


class SGD(Optimizer):
    """v = momentum v + g; p -= lr v, or with ``nesterov`` p -= lr (g + momentum v) (Sutskever et al. 2013)."""

    def __init__(
        self,
        lr: float = 1e-2,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__("sgd", lr, schedule, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


class RMSprop(Optimizer):
    """s = alpha s + (1 - alpha) g^2; p -= lr g / (sqrt(s) + eps) (Tieleman and Hinton 2012)."""

    def __init__(
        self,
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__("rmsprop", lr, schedule, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


class Adagrad(Optimizer):
    """s += g^2; p -= lr g / (sqrt(s) + eps) (Duchi, Hazan and Singer 2011)."""

    def __init__(
        self, lr: float = 1e-2, *, eps: float = 1e-10, weight_decay: float = 0.0, schedule: Schedule | None = None
    ) -> None:
        super().__init__("adagrad", lr, schedule, eps=eps, weight_decay=weight_decay)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015).

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).
    """

    def __init__(
        self,
        lr: float = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__("adam", lr, schedule, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)


class AdamW(Optimizer):
    """Adam with the weight decay apart from the gradient (Loshchilov and Hutter 2019)."""

    def __init__(
        self,
        lr: float = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__("adamw", lr, schedule, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)
