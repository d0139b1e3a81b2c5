"""Checkpoints of former commits, kept as their configs and the shapes of their weights.

The weights themselves would be megabytes: they are drawn anew from their names instead, the same on
every machine. Each `*.json` here was made with the code of the commit that it is named after:

    python -m tests.checkpoints.older CHECKPOINT tests/checkpoints/NAME.json
"""

import json
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

KEPT = ("config", "config_source", "classes", "global_step")
FOLDER = Path(__file__).parent
SIZE = (64, 96)


def images() -> Tensor:
    """(2, 3, *SIZE) uint8: noise, coarse and fine."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (1, 3, 8, 12), dtype=np.uint8).repeat(8, 2).repeat(8, 3)
    fine = rng.integers(0, 256, (1, 3, *SIZE), dtype=np.uint8)
    return torch.from_numpy(np.concatenate([coarse, fine]))


def drawn(name: str, shape: list[int], dtype: str) -> Tensor:
    """A weight that depends on its name alone: wide matrices, norms that change nothing."""
    if dtype != "float32":
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    if len(shape) < 2:
        return torch.full(shape, float(name.endswith(("weight", "var", "scale"))))
    rng = np.random.default_rng(crc32(name.encode()))
    values = rng.standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(values * (2 / np.prod(shape[1:])) ** 0.5).float()


def checkpoint(name: str) -> dict[str, Any]:
    """The checkpoint that `name`.json describes, to be saved and read."""
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    state = {key: drawn(key, *weight) for key, weight in kept["state"].items()}
    return {key: kept[key] for key in KEPT} | {"state_dict": state}


def expected(name: str) -> Tensor:
    """What the former code answered for `images()`."""
    return torch.tensor(json.loads((FOLDER / f"{name}.json").read_text())["answer"])


@torch.no_grad()
def answer(network: nn.Module) -> Tensor:
    """(2, K, 2, 3): scores of the classes, or a policy's of each window."""
    if hasattr(network, "predict"):
        return network.predict(images()).scores((2, 3))
    return network(images())


def describe(source: str, path: str) -> None:
    """Writes what is kept of a checkpoint, with what the code of today answers."""
    from segsuite.core.checkpoint import network_from_checkpoint

    content = torch.load(source, weights_only=True)
    state = {k: [list(w.shape), str(w.dtype)[6:]] for k, w in content["state_dict"].items()}
    kept = {key: content[key] for key in KEPT} | {"state": state, "answer": []}
    folder = content["config"]["run"]["folder"]
    kept = json.loads(json.dumps(kept).replace(folder, "logs/train/former"))
    Path(path).write_text(json.dumps(kept))
    whole = Path(path).with_suffix(".ckpt")
    torch.save(checkpoint(Path(path).stem), whole)
    network, _ = network_from_checkpoint(whole)
    whole.unlink()
    rounded = [float(f"{score:.6g}") for score in answer(network).flatten().tolist()]
    Path(path).write_text(json.dumps(kept | {"answer": rounded}) + "\n")


if __name__ == "__main__":
    describe(*sys.argv[1:])
