"""What an experiment costs, for the listing that `--help` prints (scripts/count_experiments.py)."""

from typing import TypedDict

import torch
from torch import nn

from segsuite.core.build import build
from segsuite.core.seeding import seed_everything
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch.entry_point import compose
from segsuite.measure.operations import OperationCounter, count_parameters
from segsuite.nn.segmenter import Segmenter


class Listed(TypedDict):
    """One experiment as it is composed.

    Attributes:
        parameters: number of parameters in 1e6.
        gmacs: multiply-adds in 1e9 of one image of `size`, (height, width), to native stride,
            policy included; of random weights, so that exits that judge by a threshold let nothing
            leave.
        size: size of the crops in training.
    """

    parameters: float
    gmacs: float
    size: list[int]
    classes: int


def listed(experiment: str) -> Listed:
    """Counts one experiment."""
    cfg = compose("train", [f"experiment={experiment}"])
    seed_everything(0)
    network: nn.Module = build(cfg.method.network, path="method.network").eval()
    size = pair(cfg.data.crop_size)
    image = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    run = network.predict if isinstance(network, Segmenter) else network
    with torch.no_grad(), OperationCounter(network) as counter:
        run(image)
    return Listed(
        parameters=round(count_parameters(network) / 1e6, 2),
        gmacs=round(counter.of("").gmacs, 2),
        size=list(size),
        classes=int(cfg.data.num_classes),
    )
