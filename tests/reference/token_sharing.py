"""Token sharing as the original does it: per image, with boolean masks and a sort."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def shared_tokens(
    image: Tensor, scores: Tensor, windows: int, embed: nn.Conv2d, position: Tensor
) -> Tensor:
    """(n0, C): unshared patches in raster order, then shared windows in raster order.

    Shapes: image (3, H, W), scores (H/32 * W/32,), position (C, gh, gw)
    """
    fine = embed(image[None])[0] + position
    half = F.interpolate(image[None], scale_factor=0.5, mode="bilinear", align_corners=False)
    coarse_position = F.interpolate(
        position[None], scale_factor=0.5, mode="bilinear", align_corners=False
    )
    coarse = embed(half)[0] + coarse_position[0]
    shared = torch.zeros(coarse.shape[1:], dtype=torch.bool)
    shared.view(-1)[scores.argsort(descending=True)[:windows]] = True
    inside = shared.repeat_interleave(2, 0).repeat_interleave(2, 1)
    return torch.cat([fine[:, ~inside].T, coarse[:, shared].T])


def window_label(window: Tensor, ignore: int) -> int:
    """1 for a window of one label value (ignored pixels are a value of their own), else 0."""
    return int(len(window.unique()) == 1)
