"""Class embeddings are kept apart, without comparing all of them at once."""

import torch
from torch import Tensor, nn

from segsuite.core.idle import counts
from segsuite.ops.precision import full

_AT_ONCE = 2**20
"""Distances held at once: 4 MB in float32."""


_EMBEDDINGS = {"method.head.dim": ()}
"""A plain head has no embeddings to keep apart."""


@counts(margin=_EMBEDDINGS, weight=_EMBEDDINGS)
class MaxMargin(nn.Module):
    """Equation 7: the mean of max(0, m - distance to the nearest other class).

    The nearest is found in chunks without gradients, and only its distance is differentiated: the
    same value and gradients as with a C x C matrix, which at 100,000 classes would take 40 GB.

    Args:
        margin: the margin m, as a distance.
        weight: weight of the loss.
    """

    def __init__(self, *, margin: float = 0.2, weight: float = 1.0) -> None:
        super().__init__()
        self.margin, self.weight = margin, weight

    def forward(self, table: Tensor) -> Tensor:
        """The weighted loss of embeddings (C, d)."""
        table = full(table)
        gaps = (table - table[nearest_other(table)]).norm(dim=1)
        return self.weight * (self.margin - gaps).clamp(min=0).mean()


@torch.no_grad()
def nearest_other(table: Tensor) -> Tensor:
    """(C,) int64: for each row the nearest other one."""
    squares = table.square().sum(1)
    step = max(_AT_ONCE // len(table), 1)
    # The same memory each time, and no results between: a CPU's heap would grow by every chunk.
    room = table.new_empty(min(step, len(table)), len(table))
    neighbours = torch.empty(len(table), dtype=torch.int64, device=table.device)
    for start in range(0, len(table), step):
        rows = table[start : start + step]
        distances = torch.addmm(squares, rows, table.T, alpha=-2, out=room[: len(rows)])
        distances.diagonal(start).fill_(torch.inf)
        torch.argmin(distances, 1, out=neighbours[start : start + step])
    return neighbours
