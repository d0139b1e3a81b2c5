"""How often a policy is right: do the windows that would share a token hold one class each?

The accuracy over all windows says little, since most hold one class: what counts is the best ones.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from segsuite.core.labels import IGNORE


class SharingScores(NamedTuple):
    """Shares of the windows that would share a token, float64, nan where there were none.

    Attributes:
        shared_right: share of those windows that hold one class.
        shared_right_random: share that would hold one class, were the windows drawn at random.
        shared_right_oracle: share that would hold one class, were the truth known.
    """

    shared_right: Tensor
    shared_right_random: Tensor
    shared_right_oracle: Tensor


class SharedRight(Metric):
    """Of each image's windows that are likeliest to hold one class, the share that does.

    Args:
        saved: the share of tokens that is saved, as `method.sharing.windows` below 1: 0.3 are 103
            of the 256 windows of an image of 512x512. Windows that count nowhere are left out of
            both.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(self, *, saved: float) -> None:
        super().__init__()
        self.saved = saved
        for name in ("shared", "right", "random", "oracle"):
            zero = torch.zeros((), dtype=torch.float64)
            self.add_state(name, zero, dist_reduce_fx="sum")

    def update(self, scores: Tensor, targets: Tensor) -> None:
        """Counts the windows of one image.

        Shapes: scores (h, w), higher is likelier to hold one class; targets (h, w) int64, 1 for
            windows that do, 0 for those that do not, IGNORE for those that count nowhere
        """
        counted = targets != IGNORE
        scores, uniform = scores[counted], targets[counted].double()
        shared = math.ceil(self.saved * 4 * len(scores) / 3)
        if not shared:
            return
        self.shared += shared
        self.right += uniform[scores.topk(shared).indices].sum()
        self.random += shared * uniform.mean()
        self.oracle += uniform.sum().clamp(max=shared)

    def compute(self) -> SharingScores:
        """The shares over everything counted so far."""
        return SharingScores(*(n / self.shared for n in (self.right, self.random, self.oracle)))
