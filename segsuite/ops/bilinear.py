"""Bilinear resizing: of whole maps, and as two matrices, one per axis."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.sizes import Size


def resized(maps: Tensor, size: Size) -> Tensor:
    """Bilinear, (B, C, *size); the input itself where the size is the same already."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    maps = maps if maps.is_floating_point() else maps.float()
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def bilinear_matrix(
    source: int,
    target: int,
    *,
    align_corners: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float,
) -> Tensor:
    """The matrix (target, source) that resizes one axis as F.interpolate does.

    With `rows` and `columns` such matrices, rows @ x @ columns.T resizes x (..., h, w); a few of
    their rows give a few of the pixels.
    """
    low, weight = bilinear_neighbours(
        source, target, align_corners=align_corners, device=device, dtype=dtype
    )
    matrix = torch.zeros(target, source, device=device, dtype=dtype)
    high = (low + 1).clamp(max=source - 1)
    matrix.scatter_add_(1, low[:, None], 1 - weight[:, None])
    return matrix.scatter_add_(1, high[:, None], weight[:, None])


def bilinear_neighbours(
    source: int,
    target: int,
    *,
    align_corners: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float,
) -> tuple[Tensor, Tensor]:
    """Every target position's lower neighbour (target,) int64, and the weight of the upper one.

    The upper neighbour is the next one, but at the last source position where that is the end.
    """
    positions = torch.arange(target, device=device, dtype=dtype)
    if align_corners:
        # Divided once: a position on a source pixel is then exactly there.
        position = positions * (source - 1) / max(target - 1, 1)
    else:
        position = ((positions + 0.5) * (source / target) - 0.5).clamp(min=0)
    low = position.long()
    return low, position - low
