"""Slots: which patches become a token alone, and which windows of 2x2 or 4x4 become one together.

Paper: "Content-aware Token Sharing" (CVPR 2023), section 3, for windows of 2x2. Windows of 4x4 are
ours. One `topk` and one gather for each size do it for the whole batch, in shapes that depend on
the image size alone: N - 3 * small - 15 * large tokens remain, whatever the image.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.ops.patches import halved, patchify
from segsuite.ops.tokens import gather_tokens

_FAR = 2.0**23  # behind every patch number; sums stay exact in float32


@dataclass(frozen=True)
class Windows:
    """How many windows become one token each: of 2x2 patches, and of 4x4."""

    small: int
    large: int = 0

    def tokens(self, patches: int) -> int:
        """How many tokens remain of so many patches."""
        return patches - 3 * self.small - 15 * self.large


@dataclass(frozen=True)
class Slots:
    """What each token stands for.

    Slots are numbered patches first, then windows of 2x2, then windows of 4x4, each in raster
    order.

    Attributes:
        single: the patch of each slot that holds one, (B, N - 4 * small - 16 * large) int64.
        small: the window of each slot that holds 2x2, (B, small) int64.
        large: the window of each slot that holds 4x4, (B, large) int64; None where none do.
        owner: the slot of each patch, (B, N) int64.
    """

    single: Tensor
    small: Tensor
    large: Tensor | None
    owner: Tensor


def window_of_cell(grid: Size, device: torch.device | None = None) -> Tensor:
    """(N,) int64: the window of 2x2 that each cell of a grid lies in, both in raster order."""
    row = torch.arange(grid[0], device=device).unsqueeze(1) // 2
    column = torch.arange(grid[1], device=device).unsqueeze(0) // 2
    return (row * (grid[1] // 2) + column).flatten()


def share(
    scores: Tensor, windows: Windows, grid: Size, large_scores: Tensor | None = None
) -> Slots:
    """Lets the best windows of each image become one token each, those of 4x4 before those of 2x2.

    Args:
        scores: scores (B, N/4) of the windows of 2x2; higher is more uniform.
        large_scores: scores (B, N/16) of the windows of 4x4; None for the least of their four
            windows of 2x2: one that is not uniform spoils all.
    """
    patches, half = grid[0] * grid[1], (grid[0] // 2, grid[1] // 2)
    of_patch, scores = window_of_cell(grid, scores.device), scores.float()
    large = large_taken = None
    if windows.large:
        of_window = window_of_cell(half, scores.device)
        if large_scores is None:
            maps = scores.unflatten(1, half).unsqueeze(1)
            large_scores = -F.max_pool2d(-maps, 2).flatten(1)
        large, large_taken = _best(large_scores.float(), windows.large)
        inside = large_taken[:, of_window]
        # Behind all others, by the scores' own range: no constant is larger than any score.
        scores = torch.where(inside, torch.full_like(scores, torch.finfo(scores.dtype).min), scores)
    small, small_taken = _best(scores, windows.small)
    taken = small_taken[:, of_patch]
    if large_taken is not None:
        taken = taken | inside[:, of_patch]
    # The patches outside in raster order, by topk, whose shape is known beforehand.
    place = torch.arange(patches, device=scores.device, dtype=torch.float32)
    key = torch.where(taken, place + _FAR, place)
    alone = patches - 4 * windows.small - 16 * windows.large
    single = key.topk(alone, dim=1, largest=False, sorted=True).indices
    owner = torch.where(taken, _numbered(small_taken, alone)[:, of_patch], _numbered(~taken, 0))
    if large_taken is not None:
        of_large = _numbered(large_taken, alone + windows.small)[:, of_window][:, of_patch]
        owner = torch.where(inside[:, of_patch], of_large, owner)
    return Slots(single=single, small=small, large=large, owner=owner)


def _best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The best `count` of each row in raster order, and (B, n) bool: which those are."""
    best = scores.topk(count, dim=1).indices.sort(dim=1).values
    return best, torch.zeros_like(scores, dtype=torch.bool).scatter(1, best, True)


def _numbered(taken: Tensor, first: int) -> Tensor:
    """(B, n) int64: the numbers from `first` on of those that are taken, in raster order."""
    return first + taken.long().cumsum(1) - 1


def slot_pixels(images: Tensor, slots: Slots, patch: int) -> Tensor:
    """The pixels of each slot: a patch, or a window made as small as one.

    A window is averaged by 2x2 or 4x4, which bilinear resizing to half (align_corners=False)
    equals exactly, done once or twice.

    Shapes: images (B, 3, H, W) -> (B, n0, 3 * patch * patch)
    """
    half = halved(images)
    parts = [gather_tokens(patchify(images, patch), slots.single)]
    parts.append(gather_tokens(patchify(half, patch), slots.small))
    if slots.large is not None:
        parts.append(gather_tokens(patchify(halved(half), patch), slots.large))
    return torch.cat(parts, dim=1)


def slot_positions(position: Tensor, slots: Slots, grid: Size) -> Tensor:
    """The position embedding of each slot; a window's is the mean of its patches'.

    Shapes: position (1, N, C) -> (B, n0, C)
    """
    maps, parts = position.transpose(1, 2).unflatten(2, grid), [position[0][slots.single]]
    for factor, windows in ((2, slots.small), (4, slots.large)):
        if windows is not None:
            averaged = F.avg_pool2d(maps, factor).flatten(2).transpose(1, 2)
            parts.append(averaged[0][windows])
    return torch.cat(parts, dim=1)
