"""Which pixels show things, by their class."""

from collections.abc import Collection

import torch
from torch import Tensor


def thing_pixels(labels: Tensor, things: Collection[int]) -> Tensor:
    """True where the class is one of the things; False for IGNORE.

    Shapes: labels (...) int64 with IGNORE -> (...) bool
    """
    other = max(things, default=-1) + 1
    table = torch.zeros(other + 2, dtype=torch.bool)  # the last entry is that of IGNORE, -1
    table[sorted(things)] = True
    return table.to(labels.device)[labels.clamp(max=other)]
