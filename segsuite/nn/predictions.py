"""The predictions of networks whose scores live on a coarse grid."""

from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.nn.token_trace import TokenTrace
from segsuite.ops.bilinear import bilinear_matrix
from segsuite.ops.upsample import argmax_in_chunks, upsampled_argmax


@dataclass(frozen=True)
class GridPrediction:
    """Scores at native stride, (B, K, h, w), upsampled bilinearly on demand."""

    grid_scores: Tensor
    trace: TokenTrace | None = None

    def labels(self, size: Size) -> Tensor:
        """(B, H, W) int64 class ids."""
        return upsampled_argmax(self.grid_scores, size)

    def scores(self, size: Size) -> Tensor:
        """(B, K, H, W)."""
        return F.interpolate(self.grid_scores, size=size, mode="bilinear", align_corners=False)

    def of(self, image: int) -> Self:
        """Of one image of the batch."""
        return replace(self, grid_scores=self.grid_scores[image : image + 1], trace=None)

    def resizing(self, size: Size) -> tuple[Tensor, Tensor]:
        """(H, h) and (W, w), for which scores(size) are rows @ grid_scores @ columns.T."""
        rows, columns = (
            bilinear_matrix(source, target)
            for source, target in zip(self.grid_scores.shape[-2:], size, strict=True)
        )
        return rows, columns


@dataclass(frozen=True, kw_only=True)
class StridedPrediction(GridPrediction):
    """Scores whose grid points lie on every `stride`-th pixel of the image, from the first on.

    That is where stride-2 convolutions with a padding of 1 see. For sides of stride * n + 1 it is
    what DeepLab does, bilinear with align_corners=True. For others, DeepLab's way would stretch the
    grid, by 15 pixels at the far border; here, scores beyond the last grid point are repeated.

    Attributes:
        seen: size of the image that the network was asked about.
        stride: pixels from one grid point to the next.
    """

    seen: Size
    stride: int

    def labels(self, size: Size) -> Tensor:
        """(B, H, W) int64 class ids."""
        if tuple(size) == tuple(self.seen):
            inner = upsampled_argmax(self.grid_scores, self._spanned(), align_corners=True)
            return extended(inner, size)
        return argmax_in_chunks(self.grid_scores, lambda part: self._upsampled(part, size))

    def scores(self, size: Size) -> Tensor:
        """(B, K, H, W)."""
        return self._upsampled(self.grid_scores, size)

    def resizing(self, size: Size) -> tuple[Tensor, Tensor]:
        """(H, h) and (W, w), for which scores(size) are rows @ grid_scores @ columns.T."""
        grid = self.grid_scores.shape[-2:]
        sides = zip(grid, self._spanned(), self.seen, size, strict=True)
        rows, columns = (_axis(*side) for side in sides)
        return rows, columns

    def _spanned(self) -> Size:
        """The size from the first to the last grid point."""
        height, width = self.grid_scores.shape[-2:]
        return self.stride * (height - 1) + 1, self.stride * (width - 1) + 1

    def _upsampled(self, grid: Tensor, size: Size) -> Tensor:
        maps = F.interpolate(grid, size=self._spanned(), mode="bilinear", align_corners=True)
        maps = extended(maps, self.seen)
        if tuple(size) == tuple(self.seen):
            return maps
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _axis(points: int, spanned: int, seen: int, wanted: int) -> Tensor:
    """(wanted, points): what `StridedPrediction._upsampled` does to one axis, as a matrix."""
    matrix = bilinear_matrix(points, spanned, align_corners=True)
    matrix = extended(matrix, (seen, points))
    return matrix if wanted == seen else bilinear_matrix(seen, wanted) @ matrix


def extended(maps: Tensor, size: Size) -> Tensor:
    """The maps cropped to `size`, or grown to it by repeating their last row and column.

    Shapes: maps (..., h, w) -> (..., *size)
    """
    for dim, side in ((-2, size[0]), (-1, size[1])):
        lacking = side - maps.shape[dim]
        if lacking < 0:
            maps = maps.narrow(dim, 0, side)
        elif lacking > 0:
            last = maps.narrow(dim, maps.shape[dim] - 1, 1)
            shape = list(maps.shape)
            shape[dim] = lacking
            maps = torch.cat([maps, last.expand(shape)], dim=dim)
    return maps
