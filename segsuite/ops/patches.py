"""Images as sequences of patches."""

import torch
import torch.nn.functional as F
from torch import Tensor


def patchify(images: Tensor, patch: int) -> Tensor:
    """Non-overlapping patches in row-major order, each flattened as a convolution weight is.

    Shapes: images (B, C, gh * patch, gw * patch) -> (B, gh * gw, C * patch * patch)
    """
    batch, channels, height, width = images.shape
    rows, columns = height // patch, width // patch
    tiles = images.reshape(batch, channels, rows, patch, columns, patch)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)


def halved(images: Tensor) -> Tensor:
    """Each 2 x 2 pixels averaged: what bilinear resizing to half (align_corners=False) is.

    On a CPU by two additions, a third of the time of pooling; exported files pool.

    Shapes: images (B, C, H, W), even sides, floating point -> (B, C, H / 2, W / 2)
    """
    if images.device.type != "cpu" or torch.compiler.is_exporting():
        return F.avg_pool2d(images, 2)
    rows = images[..., 0::2, :] + images[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]) * 0.25
