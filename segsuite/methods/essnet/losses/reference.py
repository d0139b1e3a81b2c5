"""What the paper's released code computes, for parity with its results."""

from typing import Any

import torch
from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.methods.essnet.losses.base import (
    PixelLoss,
    check_choice,
    chosen_squares,
    labelled_pixels,
    logits_of,
)
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.ops.neighbours import Search, nearest


class ReferenceLoss(PixelLoss):
    """Always k + 1 terms: a neighbour that is the pixel's own class counts as the class before it.

    So class 0 competes with itself where it is near (the loss cannot fall below log 2 there), and
    others with a class that may be far or be counted twice. Distances are not squared:
    `method.head.metric=l2`, as in the code, is what this is for.

    Args:
        k: number of nearest classes.
    """

    metrics = ("l2", "sq")

    @with_arguments_of(PixelLoss)
    def __init__(self, *, k: int = 8, search: Search = "auto", **common: Any) -> None:
        super().__init__(**common)
        self.k, self.search = k, search

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        check_choice(self.k, len(output.table))
        pixels, own = labelled_pixels(output, labels)
        near = nearest(pixels, output.table, self.k, search=self.search)
        before = (own - 1).clamp(min=0).unsqueeze(1)
        near = torch.where(near == own.unsqueeze(1), before, near)
        chosen = torch.cat([own.unsqueeze(1), near], dim=1)
        table = output.table.to(pixels.dtype)
        logits = logits_of(chosen_squares(pixels, table, chosen), output)
        return self.summed_up(logits.logsumexp(1) - logits[:, 0], own, output)
