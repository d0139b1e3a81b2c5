"""Embeddings of patches and of their positions, resized to another patch size or grid."""

import math

import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import CheckpointError
from segsuite.core.sizes import Size


def resize_position(position: Tensor, grid: Size, target: Size) -> Tensor:
    """(1, th * tw, C): position embeddings of one grid, resized to another.

    Shapes: position (1, gh * gw, C) with grid (gh, gw); target (th, tw)
    """
    if grid == target:
        return position
    image = position.unflatten(1, grid).permute(0, 3, 1, 2)
    resized = F.interpolate(image, size=target, mode="bicubic", align_corners=False)
    return resized.flatten(2).transpose(1, 2)


def resize_patch_embedding(weight: Tensor, patch: int) -> Tensor:
    """The kernel of a patch embedding for patches of another size, by FlexiViT's pseudo-inverse.

    Upwards the token of a patch that is resized with its kernel stays the same, up to rounding.
    Source: FlexiViT (CVPR 2023), section 3.4, as timm has it.

    Shapes: weight (C, 3, p, p) -> (C, 3, patch, patch)
    """
    from timm.layers import resample_patch_embed

    if weight.shape[-2:] == (patch, patch):
        return weight
    size = [patch, patch]
    return resample_patch_embed(weight.detach(), size, interpolation="bilinear", antialias=False)


def position_rows(position: Tensor, own: Size, tokens: int, source: str) -> tuple[Tensor, Size]:
    """The rows of a position embedding that belong to patches (1, gh * gw, C), and their grid.

    Args:
        position: the position embedding, (1, tokens + gh * gw, C), or without the leading tokens.
        own: the grid assumed if its number of patches fits; any other must be square.
        source: where it comes from, for messages.

    Raises:
        CheckpointError: no grid has that many patches.
    """
    count = position.shape[1]
    for extra in dict.fromkeys((tokens, 0)):
        patches = count - extra
        side = math.isqrt(patches)
        if patches == own[0] * own[1]:
            return position[:, extra:], own
        if side * side == patches:
            return position[:, extra:], (side, side)
    raise CheckpointError(
        f"{source} has {count} positions, which are neither a square grid nor the "
        f"{own[0]}x{own[1]} one of this backbone, with or without {tokens} further tokens"
    )
