"""What the paper's released code computes, for parity with its results."""

from collections.abc import Sequence

import torch
from torch import Tensor

from segsuite.core.hints import NotNegative
from segsuite.methods.essnet.losses.base import (
    PixelLoss,
    check_choice,
    chosen_squares,
    labelled_pixels,
    logits_of,
)
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.methods.essnet.regulariser import MaxMargin
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

    def __init__(
        self,
        *,
        k: int = 8,
        search: Search = "auto",
        regulariser: MaxMargin | None = None,
        max_pixels: int | None = None,
        global_mean: bool = False,
        class_weights: Sequence[float] | str | None = None,
        ohem: float | None = None,
        ohem_kept: float = 0.0625,
        dice: NotNegative = 0.0,
    ) -> None:
        super().__init__(
            regulariser=regulariser,
            max_pixels=max_pixels,
            global_mean=global_mean,
            class_weights=class_weights,
            ohem=ohem,
            ohem_kept=ohem_kept,
            dice=dice,
        )
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
