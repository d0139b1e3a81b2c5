"""Negatives drawn at random, the paper's weaker variant (table 3, first row)."""

from typing import Any, Literal

import torch
from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.methods.essnet.losses.base import PixelLoss, check_choice, labelled_pixels
from segsuite.methods.essnet.losses.knn import union_losses
from segsuite.methods.essnet.output import EssnetOutput


class RandomLoss(PixelLoss):
    """A softmax over a pixel's own class and k others, drawn without replacement.

    Args:
        k: number of classes drawn.
        share: who draws together: each `pixel`, or all pixels of a `batch`. The code of the paper
            for this was not released.
    """

    metrics = ("sq", "l2")

    @with_arguments_of(PixelLoss)
    def __init__(
        self, *, k: int = 8, share: Literal["pixel", "batch"] = "pixel", **common: Any
    ) -> None:
        super().__init__(**common)
        self.k, self.share = k, share

    def check_classes(self, classes: int) -> None:
        check_choice(self.k, classes)

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        classes = len(output.table)
        pixels, own = labelled_pixels(output, labels)
        if self.share == "pixel":
            others = distinct(len(own), self.k, classes - 1, own.device)
        else:
            others = torch.randperm(classes - 1, device=own.device)[: self.k].expand(len(own), -1)
        # Numbers from the own class on move up by one: never the own class, all others alike.
        others = others + (others >= own.unsqueeze(1)).long()
        return self.summed_up(union_losses(pixels, own, others, output), own, output)


def distinct(rows: int, k: int, count: int, device: torch.device) -> Tensor:
    """(rows, k) int64: each row k different numbers below `count`, all choices equally likely.

    By Floyd's method, column by column for all rows at once: a draw that is there already is
    replaced by the newest number, so that k draws are enough.
    """
    chosen = torch.empty(rows, 0, dtype=torch.int64, device=device)
    for newest in range(count - k, count):
        draw = torch.randint(newest + 1, (rows, 1), device=device)
        taken = (chosen == draw).any(1, keepdim=True)
        chosen = torch.cat([chosen, torch.where(taken, newest, draw)], dim=1)
    return chosen
