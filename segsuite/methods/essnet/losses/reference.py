"""What the paper's released code computes, for parity with its results."""

import torch
from torch import Tensor

from segsuite.methods.essnet.losses.base import chosen_logits
from segsuite.methods.essnet.losses.knn import NeighbourLoss
from segsuite.methods.essnet.output import EssnetOutput


class ReferenceLoss(NeighbourLoss):
    """Always k + 1 terms: a neighbour that is the pixel's own class counts as the class before it.

    So class 0 competes with itself where it is near (the loss cannot fall below log 2 there), and
    others with a class that may be far or be counted twice. Distances are not squared:
    `method.head.metric=l2`, as in the code, is what this is for.

    Args:
        k: number of nearest classes.
    """

    metrics = ("l2", "sq")

    def each(self, pixels: Tensor, own: Tensor, near: Tensor, output: EssnetOutput) -> Tensor:
        before = (own - 1).clamp(min=0).unsqueeze(1)
        near = torch.where(near == own.unsqueeze(1), before, near)
        logits = chosen_logits(pixels, own, near, output)
        return logits.logsumexp(1) - logits[:, 0]
