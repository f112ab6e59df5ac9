"""Writes fixture.npz: random configurations of torch.nn with their values and gradients, optimizers' paths, losses.

    python tests/torch_parity/make_fixture.py

The same seed gives the same configurations; PyTorch's version is kept in the file.
"""

import json
from pathlib import Path

import numpy as np
import torch

import torch_side

SEED = 20
CONFIGURATIONS = 22
FIXTURE = Path(__file__).with_name("fixture.npz")


def main():
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    arrays, index = {}, {"torch": torch.__version__, "recurrent": [], "optimizers": [], "losses": []}

    def keep(kind, description, found):
        prefix = f"{kind}/{len(index[kind])}/"
        index[kind].append(description)
        arrays.update({prefix + name: value for name, value in found.items()})

    for _ in range(CONFIGURATIONS):
        configuration = torch_side.random_configuration(rng)
        keep("recurrent", configuration, torch_side.recurrent(configuration, rng))
    for kind, common, own in torch_side.OPTIMIZERS:
        keep("optimizers", {"kind": kind} | common | own, torch_side.trajectory(kind, common, own, rng))
    for kind in ("cross_entropy", "mse", "bernoulli"):
        keep("losses", kind, torch_side.loss(kind, rng))
    arrays["index"] = np.array(json.dumps(index))
    np.savez_compressed(FIXTURE, **arrays)
    print(f"{FIXTURE.name}: {len(arrays)} arrays, {FIXTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
