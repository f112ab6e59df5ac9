"""What PyTorch makes of a configuration: values, states and all gradients, as NumPy arrays by name."""

import numpy as np
import torch


def numpy(tensor):
    return tensor.detach().cpu().numpy().copy()


def random_configuration(rng):
    """One of torch.nn.RNN, LSTM and GRU with its options, small sizes, and lengths half the time."""
    kind = str(rng.choice(["RNN", "LSTM", "GRU"]))
    hidden = int(rng.integers(2, 5))
    configuration = {
        "kind": kind,
        "input_size": int(rng.integers(1, 5)),
        "hidden_size": hidden,
        "num_layers": int(rng.integers(1, 3)),
        "bidirectional": bool(rng.integers(2)),
        "batch_first": bool(rng.integers(2)),
        "bias": bool(rng.integers(4) > 0),
        "steps": int(rng.integers(1, 7)),
        "batch": int(rng.integers(1, 4)),
    }
    if kind == "RNN":
        configuration["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    if kind == "LSTM":
        configuration["proj_size"] = int(rng.choice([0, hidden - 1]))
    if rng.integers(2):
        configuration["lengths"] = rng.integers(1, configuration["steps"] + 1, configuration["batch"]).tolist()
        configuration["lengths"][-1] = configuration["steps"]
    return configuration


def options(configuration):
    """What torch.nn and rnnrs both take."""
    names = ("num_layers", "bidirectional", "batch_first", "bias", "nonlinearity", "proj_size")
    return {name: configuration[name] for name in names if name in configuration}


def recurrent(configuration, rng):
    """Inputs, weights, outputs and gradients of sum(y dy) + sum(h dh) + sum(c dc), in float64."""
    c = configuration
    net = getattr(torch.nn, c["kind"])(c["input_size"], c["hidden_size"], **options(c)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape)) * 0.6))

    def leaf(*shape):
        return torch.from_numpy(rng.normal(size=shape)).requires_grad_(True)

    steps, batch = c["steps"], c["batch"]
    x = leaf(*((batch, steps) if c["batch_first"] else (steps, batch)), c["input_size"])
    rows = c["num_layers"] * (2 if c["bidirectional"] else 1)
    out = c.get("proj_size", 0) or c["hidden_size"]
    state = [leaf(rows, batch, out)] + ([leaf(rows, batch, c["hidden_size"])] if c["kind"] == "LSTM" else [])
    given = tuple(state) if c["kind"] == "LSTM" else state[0]
    if "lengths" in c:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.tensor(c["lengths"]), batch_first=c["batch_first"], enforce_sorted=False
        )
        y, final = net(packed, given)
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=c["batch_first"], total_length=steps)
    else:
        y, final = net(x, given)
    final = list(final) if c["kind"] == "LSTM" else [final]
    dy = torch.from_numpy(rng.normal(size=tuple(y.shape)))
    dfinal = [torch.from_numpy(rng.normal(size=tuple(s.shape))) for s in final]
    ((y * dy).sum() + sum((s * d).sum() for s, d in zip(final, dfinal, strict=True))).backward()

    arrays = {"x": x, "y": y, "dy": dy, "dx": x.grad}
    for k, s in enumerate(state):
        arrays |= {f"state{k}": s, f"final{k}": final[k], f"dfinal{k}": dfinal[k], f"dstate{k}": s.grad}
    for name, parameter in net.named_parameters():
        arrays |= {f"weight/{name}": parameter, f"grad/{name}": parameter.grad}
    return {name: numpy(tensor) for name, tensor in arrays.items()}


OPTIMIZERS = [
    ("SGD", {"lr": 0.1}, {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}, {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}, {}),
    ("RMSprop", {"lr": 0.01}, {}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "momentum": 0.7, "weight_decay": 0.05}, {}),
    ("Adagrad", {"lr": 0.1}, {}),
    ("Adagrad", {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.05}, {}),
    ("Adam", {"lr": 0.02}, {}),
    ("Adam", {"lr": 0.02, "eps": 1e-3, "weight_decay": 0.1}, {"betas": (0.8, 0.95)}),
    ("AdamW", {"lr": 0.02}, {}),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.3}, {"betas": (0.8, 0.95)}),
]


def trajectory(kind, common, own, rng, updates=12):
    """The weights after each update of a Linear(4, 3) whose input is the identity: its weight's gradient is dyᵀ."""
    net = torch.nn.Linear(4, 3).double()
    optimizer = getattr(torch.optim, kind)(net.parameters(), **({"weight_decay": 0.0} | common | own))
    dy = rng.normal(size=(updates, 4, 3))
    path = [[numpy(net.weight), numpy(net.bias)]]
    for g in dy:
        optimizer.zero_grad()
        (net(torch.eye(4, dtype=torch.float64)) * torch.from_numpy(g)).sum().backward()
        optimizer.step()
        path.append([numpy(net.weight), numpy(net.bias)])
    return {"dy": dy, "weight": np.stack([p[0] for p in path]), "bias": np.stack([p[1] for p in path])}


def loss(kind, rng):
    """A Linear(4, 5) under a loss over N = 3 rows of T = 4 steps: value and gradients."""
    net = torch.nn.Linear(4, 5).double()
    x = torch.from_numpy(rng.normal(size=(3, 4, 4)))
    y = net(x)
    if kind == "cross_entropy":
        targets = torch.from_numpy(rng.integers(0, 5, (3, 4)))
        targets[0, 1] = targets[2, 3] = -100
        value = torch.nn.functional.cross_entropy(y.reshape(-1, 5), targets.reshape(-1), ignore_index=-100)
    elif kind == "mse":
        targets = torch.from_numpy(rng.normal(size=(3, 4, 5)))
        value = torch.nn.functional.mse_loss(y, targets)
    else:  # in nats a step: the sum over units, the mean over steps
        targets = torch.from_numpy(rng.integers(0, 2, (3, 4, 5)).astype(float))
        value = torch.nn.functional.binary_cross_entropy_with_logits(y, targets, reduction="none").sum(-1).mean()
    value.backward()
    arrays = {"x": x, "targets": targets, "value": value, "weight": net.weight, "bias": net.bias}
    arrays |= {"grad/weight": net.weight.grad, "grad/bias": net.bias.grad}
    return {name: numpy(tensor) for name, tensor in arrays.items()}
