"""Wide features: logits are made at the coarse points of a tile and upsampled as such.

A plain head reads 256 channels. At stride 4 there are 16 times fewer points than pixels, so that
the product with the classes, which dominates, is made 16 times less often; what is upsampled is C
numbers a pixel, by one small matrix from the few points of a tile to its pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segsuite.core.labels import IGNORE
from segsuite.ops.bilinear import bilinear_neighbours
from segsuite.ops.streaming_softmax import ClassChunks

_SIDE = 16
"""Rows of pixels in a tile: more would need more points per pixel, fewer more tiles."""


@dataclass(frozen=True)
class _Tile:
    """Some pixels and the coarse points that they lie between.

    Attributes:
        rows, columns: rows and columns of the pixels, as slices.
        points: rows and columns of the coarse map, as slices.
        mix: (pixels, points), how much each pixel takes of each point.
    """

    rows: slice
    columns: slice
    points: tuple[slice, slice]
    mix: Tensor


def add_tiles(
    chunks: ClassChunks,
    features: Tensor,
    labels: Tensor,
    into: Tensor | None,
    each: Tensor | None = None,
) -> None:
    """Adds one image to the sums, its gradient to `into` and its pixels' losses to `each`.

    Shapes: features and into (d, h, w), labels and each (H, W)
    """
    for tile in _tiles(features, labels, chunks.step):
        y = labels[tile.rows, tile.columns].reshape(-1)
        seen = (y != IGNORE).nonzero().squeeze(1)
        if not len(seen):
            continue
        where = (slice(None), *tile.points)
        points = features[where].flatten(1).T.contiguous()
        mix = tile.mix if len(seen) == len(y) else tile.mix.index_select(0, seen)
        losses = None if each is None else points.new_empty(len(seen))
        gradient = chunks.add_mixed(points, mix, y.index_select(0, seen), losses)
        if each is not None and losses is not None:
            part = each[tile.rows, tile.columns]
            part.copy_(losses.new_zeros(len(y)).index_copy_(0, seen, losses).view_as(part))
        if gradient is not None and into is not None:
            into[where] += gradient.T.view_as(into[where])


def _tiles(features: Tensor, labels: Tensor, pixels: int) -> Iterator[_Tile]:
    """The tiles of an image, of about `pixels` pixels each, at most."""
    kind: dict[str, Any] = {"device": features.device, "dtype": features.dtype}
    height, width = labels.shape
    side = max(min(_SIDE, int(pixels**0.5)), 1)
    across = min(max(pixels // side, 1), 2 * _SIDE)
    columns = list(_axis(features.shape[2], width, across, kind))
    for rows, near_rows, down in _axis(features.shape[1], height, side, kind):
        for part, near_columns, right in columns:
            mix = torch.kron(down, right)
            yield _Tile(rows, part, (near_rows, near_columns), mix)


def _axis(
    source: int, target: int, step: int, kind: dict[str, Any]
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Along one axis: some positions, the coarse ones that they lie between, and the weights."""
    low, upper = bilinear_neighbours(source, target, **kind)
    ends = low.tolist()
    for start in range(0, target, step):
        stop = min(start + step, target)
        first, last = ends[start], min(ends[stop - 1] + 1, source - 1)
        inside, weight = low[start:stop] - first, upper[start:stop, None]
        matrix = torch.zeros(stop - start, last - first + 1, **kind)
        beyond = (inside + 1).clamp(max=last - first)
        matrix.scatter_add_(1, inside[:, None], 1 - weight)
        matrix.scatter_add_(1, beyond[:, None], weight)
        yield slice(start, stop), slice(first, last + 1), matrix
