"""Which pixels show things, by their class."""

from collections.abc import Collection
from functools import lru_cache

import torch
from torch import Tensor


def thing_pixels(labels: Tensor, things: Collection[int]) -> Tensor:
    """True where the class is one of the things; False for IGNORE.

    Shapes: labels (...) int64 with IGNORE -> (...) bool
    """
    other = max(things, default=-1) + 1
    return _table(tuple(sorted(things)), labels.device)[labels.clamp(max=other)]


@lru_cache(maxsize=64)
def _table(things: tuple[int, ...], device: torch.device) -> Tensor:
    """(most + 3,) bool by class, up to the first beyond all things, and then that of IGNORE, -1.

    Made once: to copy it in each iteration, a GPU would be waited for.
    """
    with torch.inference_mode(False):
        table = torch.zeros(max(things, default=-1) + 3, dtype=torch.bool)
        table[list(things)] = True
        return table.to(device)
