"""The paper's loss: only the classes nearest to a pixel are compared with its own."""

from typing import Any

import torch
from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.methods.essnet.losses.base import (
    PixelLoss,
    check_choice,
    chosen_logits,
    labelled_pixels,
)
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.ops.neighbours import Search, nearest


class NeighbourLoss(PixelLoss):
    """Equation 6: a softmax over the union of a pixel's k nearest classes and its own.

    Never above the exact loss; probabilities are off by at most 1/k - 1/C.

    Args:
        k: number of nearest classes.
        search: how they are searched for: by `faiss` or `torch`, both exact; `auto` is faiss on a
            CPU.
    """

    metrics = ("sq", "l2")

    @with_arguments_of(PixelLoss)
    def __init__(self, *, k: int = 8, search: Search = "auto", **common: Any) -> None:
        super().__init__(**common)
        self.k, self.search = k, search

    def check_classes(self, classes: int) -> None:
        check_choice(self.k, classes)

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        pixels, own = labelled_pixels(output, labels)
        near = nearest(pixels, output.table, self.k, search=self.search)
        return self.summed_up(self.each(pixels, own, near, output), own, output)

    def each(self, pixels: Tensor, own: Tensor, near: Tensor, output: EssnetOutput) -> Tensor:
        """(N,): the loss of each pixel, by its own class and the k nearest ones (N, k)."""
        return union_losses(pixels, own, near, output)


def union_losses(pixels: Tensor, own: Tensor, others: Tensor, output: EssnetOutput) -> Tensor:
    """(N,): the softmax losses over other classes and the pixel's own, which counts once.

    Shapes: pixels (N, d), own (N,), others (N, k) that may hold the own class
    """
    logits = chosen_logits(pixels, own, others, output)
    twice = others == own.unsqueeze(1)
    twice = torch.cat([torch.zeros_like(twice[:, :1]), twice], dim=1)
    logits = logits.masked_fill(twice, -torch.inf)
    return logits.logsumexp(1) - logits[:, 0]
