"""Pixels that count by the weight of their class, and those of them that are hard."""

import math

import torch
from torch import Tensor

from segsuite.core.labels import IGNORE


def label_weights(labels: Tensor, weights: Tensor) -> Tensor:
    """The weight of each label's class, 0 for IGNORE.

    Shapes: labels (...) int64 with IGNORE, weights (C,) -> (...)
    """
    own = weights[labels.clamp(min=0)]
    return own.masked_fill_(labels == IGNORE, 0.0)


def counted(labels: Tensor, weights: Tensor | None) -> Tensor:
    """What to divide a summed loss by: the labelled pixels, or the sum of their weights in float64.

    Shapes: labels (...), weights (C,) or None -> scalar
    """
    if weights is None:
        return (labels != IGNORE).sum()
    return label_weights(labels, weights).sum(dtype=torch.float64)


def mean_of(total: Tensor, count: Tensor) -> Tensor:
    """A sum over what it is divided by; the sum itself, which is 0, where nothing counts."""
    return total / count.where(count > 0, torch.ones_like(count)).to(total.dtype)


def hardest(losses: Tensor, labels: Tensor, *, probability: float, share: float) -> Tensor:
    """The labels of the hardest pixels, the others ignored.

    Online hard example mining (Shrivastava et al., CVPR 2016) as it is usual for pixels (online
    bootstrapping, Wu et al., 2016; BiSeNet's loss, Yu et al., ECCV 2018): those whose class gets
    less than `probability`, but at least a `share` of those labelled; each process chooses among
    its own. Fixed shapes: a GPU is not waited for. Losses that are not finite are kept, so that
    they are noticed.

    Shapes: losses (...) that are -log of probabilities, labels (...) -> (...)
    """
    seen = labels != IGNORE
    ordered = losses.masked_fill(~seen, -1.0).flatten().sort(descending=True).values
    least = (seen.sum() * share).ceil().long().clamp(min=1) - 1
    bound = ordered.index_select(0, least.view(1)).clamp(max=-math.log(probability))
    return labels.masked_fill(losses < bound, IGNORE)
