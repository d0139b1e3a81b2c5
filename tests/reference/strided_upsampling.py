"""Scores of every pixel, one by one, from grid points that lie on every stride-th pixel."""

import torch
from torch import Tensor


def upsampled_by_loops(grid: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """(K, H, W): bilinear between grid points, and what the nearest says beyond the last ones.

    Shapes: grid (K, h, w)
    """
    height, width = grid.shape[-2:]
    full = torch.zeros(grid.shape[0], *size, dtype=grid.dtype)
    for y in range(size[0]):
        for x in range(size[1]):
            down, across = min(y / stride, height - 1), min(x / stride, width - 1)
            top, left = int(down), int(across)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            v, u = down - top, across - left
            full[:, y, x] = (
                (1 - v) * (1 - u) * grid[:, top, left]
                + (1 - v) * u * grid[:, top, right]
                + v * (1 - u) * grid[:, bottom, left]
                + v * u * grid[:, bottom, right]
            )
    return full
