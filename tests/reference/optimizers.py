"""The update rules of the optimizers, on one array at a time, and the schedules of the learning rate.

SGD with momentum: Polyak 1964; Nesterov's form as in Sutskever et al., ICML 2013, and PyTorch.
RMSprop:  Tieleman and Hinton, lecture 6.5, 2012.          Adagrad: Duchi, Hazan and Singer, JMLR 12, 2011.
Adam:     Kingma and Ba, ICLR 2015, algorithm 1.           AdamW:   Loshchilov and Hutter, ICLR 2019, algorithm 2.
Cosine:   Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5.
Where a paper leaves it open (eps outside the root, weight decay added to the gradient) the rule is PyTorch's.
"""

import math

import numpy as np


class SGD:
    def __init__(self, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
        self.lr, self.momentum, self.nesterov, self.weight_decay = lr, momentum, nesterov, weight_decay
        self.v = None

    def step(self, w, g):
        g = g + self.weight_decay * w
        if self.momentum:
            self.v = g if self.v is None else self.momentum * self.v + g
            g = g + self.momentum * self.v if self.nesterov else self.v
        return w - self.lr * g


class RMSprop:
    def __init__(self, lr, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0):
        self.lr, self.alpha, self.eps, self.momentum, self.weight_decay = lr, alpha, eps, momentum, weight_decay
        self.square, self.v = 0.0, 0.0

    def step(self, w, g):
        g = g + self.weight_decay * w
        self.square = self.alpha * self.square + (1 - self.alpha) * g * g
        update = g / (np.sqrt(self.square) + self.eps)
        if self.momentum:
            self.v = self.momentum * self.v + update
            update = self.v
        return w - self.lr * update


class Adagrad:
    def __init__(self, lr, eps=1e-10, weight_decay=0.0):
        self.lr, self.eps, self.weight_decay = lr, eps, weight_decay
        self.sum = 0.0

    def step(self, w, g):
        g = g + self.weight_decay * w
        self.sum = self.sum + g * g
        return w - self.lr * g / (np.sqrt(self.sum) + self.eps)


class Adam:
    decoupled = False

    def __init__(self, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
        self.lr, self.beta1, self.beta2, self.eps, self.weight_decay = lr, beta1, beta2, eps, weight_decay
        self.m, self.v, self.t = 0.0, 0.0, 0

    def step(self, w, g):
        self.t += 1
        if self.decoupled:
            w = w - self.lr * self.weight_decay * w
        else:
            g = g + self.weight_decay * w
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        m = self.m / (1 - self.beta1**self.t)
        v = self.v / (1 - self.beta2**self.t)
        return w - self.lr * m / (np.sqrt(v) + self.eps)


class AdamW(Adam):
    decoupled = True


def clip_norm(gradients, limit):
    """The gradients scaled to a common 2-norm of at most `limit`, and the norm before (Pascanu et al., ICML 2013)."""
    norm = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients))
    factor = min(1.0, limit / (norm + 1e-6))
    return [g * factor for g in gradients], norm


def schedule(spec, update):
    """The factor on the learning rate at an update, counted from zero: (update + 1) / warmup, and then the schedule.

    The schedule counts from the end of the warm-up; a cosine's total includes it.
    """
    warmup = spec.get("warmup", 0)
    if update < warmup:
        return (update + 1) / warmup
    update -= warmup
    kind = spec["schedule"]
    if kind == "constant":
        return 1.0
    if kind == "step":
        return spec["gamma"] ** (update // spec["every"])
    if kind == "cosine":
        floor, total = spec.get("floor", 0.0), spec["total"] - warmup
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(update / total, 1.0)))
    raise ValueError(kind)
