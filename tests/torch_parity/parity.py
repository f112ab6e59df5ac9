"""rnnrs beside what PyTorch gave: the comparison that the fixture and the live test share."""

import numpy as np

import rnnrs

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
OWN = ("num_layers", "bidirectional", "batch_first", "bias", "nonlinearity", "proj_size")


def close(got, expected, what):
    np.testing.assert_allclose(got, expected, **CLOSE, err_msg=what)


def check_recurrent(configuration, arrays):
    """Values, states and every gradient of one configuration."""
    c = configuration
    options = {name: c[name] for name in OWN if name in c}
    net = getattr(rnnrs, c["kind"])(c["input_size"], c["hidden_size"], **options, dtype="float64")
    weights = {name.removeprefix("weight/"): value for name, value in arrays.items() if name.startswith("weight/")}
    assert {name: value.shape for name, value in net.state_dict().items()} == {n: v.shape for n, v in weights.items()}
    net.load_state_dict(weights)
    count = 2 if c["kind"] == "LSTM" else 1

    def form(name):
        parts = tuple(arrays[f"{name}{k}"] for k in range(count))
        return parts if count > 1 else parts[0]

    tape = net.record(arrays["x"], form("state"), c.get("lengths"), training=False)
    close(tape.y, arrays["y"], "y")
    gradients = tape.backward(arrays["dy"], form("dfinal"))
    close(gradients.x, arrays["dx"], "dx")
    for k in range(count):
        final, dstate = (tape.state, gradients.state) if count == 1 else (tape.state[k], gradients.state[k])
        close(final, arrays[f"final{k}"], f"final state {k}")
        close(dstate, arrays[f"dstate{k}"], f"gradient of state {k}")
    for name in weights:
        close(gradients.params[name], arrays[f"grad/{name}"], f"gradient of {name}")


def check_trajectory(description, arrays):
    """An optimizer's path: the weights after each update."""
    options = dict(description)
    kind = options.pop("kind")
    if "betas" in options:
        options["beta1"], options["beta2"] = options.pop("betas")
    optimizer = getattr(rnnrs.optim, kind)(**({"weight_decay": 0.0} | options))
    net = rnnrs.Linear(4, 3, dtype="float64")
    net.load_state_dict({"weight": arrays["weight"][0], "bias": arrays["bias"][0]})
    for update, dy in enumerate(arrays["dy"]):
        optimizer.step(net, net.record(np.eye(4)).backward(dy))
        close(net.state_dict()["weight"], arrays["weight"][update + 1], f"weight after update {update}")
        close(net.state_dict()["bias"], arrays["bias"][update + 1], f"bias after update {update}")


def check_loss(kind, arrays):
    net = rnnrs.Sequential(rnnrs.Linear(4, 5), dtype="float64")
    net.load_state_dict({"0.weight": arrays["weight"], "0.bias": arrays["bias"]})
    value, gradients = net.value_and_grad(arrays["x"], arrays["targets"], loss=kind)
    close(value, arrays["value"], "loss")
    for name in ("weight", "bias"):
        close(gradients.params[f"0.{name}"], arrays[f"grad/{name}"], f"gradient of {name}")
