"""Statistics of batch norms, gathered anew (as for a sub-network of HyCTAS, section 4.2).

Those that the supernet keeps are means over all sub-networks that pass through a cell.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives each batch norm the mean of its statistics over these batches, all alike.

    Args:
        batches: images (B, 3, H, W) of one size. One batch makes them those of one pass over all
            images; of several, variances lack what lies between the batches' means.

    Raises:
        ValueError: there is no batch.
    """
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    count = 0
    for images in batches:
        network(images)
        count += 1
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
    if not count:
        raise ValueError("there is no image to gather the statistics of batch norms from")
