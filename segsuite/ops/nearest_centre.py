"""The centre that each pixel votes for, exactly, yet without all distances to all centres."""

import torch
from torch import Tensor

from segsuite.core.panoptic import FARTHEST, STEPS_PER_PIXEL
from segsuite.core.sizes import Size
from segsuite.ops.class_argmax import class_argmax

_AT_ONCE = 2**18
"""Pixels whose votes are held at once, and about as many distances of tiles: 4 MB."""

_TILE = 8
"""Side of a tile in pixels."""


def nearest_centre(pixels: Tensor, offsets: Tensor, centres: Tensor) -> Tensor:
    """(n,) int64: which centre is nearest to pixel + offset, of equally near ones the first.

    Votes are rounded to 1/65536 of a pixel; distances between them and centres are then exact in
    float64, in any order of summation, so that every device gives the same. Most votes fall where
    one centre is the nearest whatever the exact place: only the rest is compared with all.

    Args:
        pixels: positions in the flattened image.

    Shapes: pixels (n,), offsets (2, H, W) in pixels, y first, centres (K, 2) int64 inside the
        image, K at least 1 -> (n,)
    """
    places = centres.double()
    table = certain_tiles(places, (offsets.shape[1], offsets.shape[2]))
    nearest = torch.empty_like(pixels)
    for some, into in zip(pixels.split(_AT_ONCE), nearest.split(_AT_ONCE), strict=True):
        votes = _votes(some, offsets)
        into.copy_(_looked_up(votes, table))
        open_ = (into < 0).nonzero().squeeze(1)
        rest = votes.index_select(1, open_).T.contiguous()
        # |p - c|^2 is least where p.c - |c|^2 / 2 is highest.
        into[open_] = class_argmax(rest, places, places.square().sum(1) / -2)
    return nearest


def _votes(pixels: Tensor, offsets: Tensor) -> Tensor:
    """(2, n) float64: pixel + offset, rounded; what is no number counts as 0."""
    width = offsets.shape[2]
    pixel = torch.stack([pixels // width, pixels % width])
    moved = pixel.float() + offsets.flatten(1).index_select(1, pixels).float()
    limits = {"nan": 0.0, "posinf": FARTHEST, "neginf": -FARTHEST}
    moved = moved.nan_to_num_(**limits).clamp_(-FARTHEST, FARTHEST).double()
    return moved.mul_(STEPS_PER_PIXEL).round_().div_(STEPS_PER_PIXEL)


def _looked_up(votes: Tensor, table: Tensor) -> Tensor:
    """(n,) the entry of the tile of each vote; -1 outside of the image.

    Shapes: votes (2, n), table (rows, columns)
    """
    rows, columns = table.shape
    y, x = votes.mul(1 / _TILE).floor_().long()
    inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    return torch.where(inside, table.flatten()[torch.where(inside, y * columns + x, 0)], -1)


def certain_tiles(places: Tensor, size: Size) -> Tensor:
    """(rows, columns) int64: the centre that is nearest to every point of a tile, -1 if none is.

    Seen from the middle of a tile, the nearest centre must be nearer than the second by more than
    a diagonal: no point of the tile is more than half of one from its middle.

    Shapes: places (K, 2) float64
    """
    rows, columns = (-(-side // _TILE) for side in size)
    if len(places) == 1:
        return torch.zeros(rows, columns, dtype=torch.int64, device=places.device)
    y, x = ((torch.arange(n, device=places.device) + 0.5) * _TILE for n in (rows, columns))
    middles = torch.cartesian_prod(y.double(), x.double())
    table = torch.empty(len(middles), dtype=torch.int64, device=places.device)
    step = max(_AT_ONCE // len(places), 1)
    for some, into in zip(middles.split(step), table.split(step), strict=True):
        squared = (some[:, :1] - places[:, 0]).square_() + (some[:, 1:] - places[:, 1]).square_()
        near, which = squared.topk(2, dim=1, largest=False)
        first, second = near.sqrt().unbind(1)
        sure = second - first > _TILE * 2**0.5 + 1e-6  # more than the roots are rounded by
        into.copy_(torch.where(sure, which[:, 0], -1))
    return table.view(rows, columns)
