"""Sharing by the pixels alone: no weights, no training, hardly any time.

A fair control for every policy that was learnt. Deviation is the plainest measure there is; entropy
of grey levels is the criterion of Adaptive Patch Transformers (ICLR 2026).
"""

from collections.abc import Callable
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.core.hints import Above
from segsuite.methods.segvit.token_sharing import TokenSharing, WindowScores


class DeviationSharing(TokenSharing):
    """Windows whose grey values differ least: by their standard deviation, in float32."""

    def window_scores(self, images: Tensor, embed: Callable[[], Tensor]) -> WindowScores:
        mean, variance = moments(grey(images), 2 * self.patch)
        small = -variance.sqrt().flatten(1)
        if not self.large_windows:
            return WindowScores(small)
        between = moments(mean, 2)[1]
        return WindowScores(small, -(F.avg_pool2d(variance, 2) + between).sqrt().flatten(1))


class EntropySharing(TokenSharing):
    """Windows that hold few grey levels: by the entropy of their histogram, in nats.

    Args:
        levels: how many levels grey values are rounded down to.
    """

    @with_arguments_of(TokenSharing)
    def __init__(self, *, levels: Annotated[int, Above(1)] = 16, **common: Any) -> None:
        super().__init__(**common)
        self.levels = levels

    def window_scores(self, images: Tensor, embed: Callable[[], Tensor]) -> WindowScores:
        level = (grey(images) * (self.levels / 256)).floor()
        # A level at a time: all at once would hold `levels` images.
        shares = [
            F.avg_pool2d((level == number).float(), 2 * self.patch) for number in range(self.levels)
        ]
        small = sum(map(_certainty, shares))
        if not self.large_windows:
            return WindowScores(small.flatten(1))
        large = sum(_certainty(F.avg_pool2d(share, 2)) for share in shares)
        return WindowScores(small.flatten(1), large.flatten(1))


def grey(images: Tensor) -> Tensor:
    """(B, 1, H, W) float32: the mean of the three colours, in 0..255; a fourth channel is none."""
    return images[:, :3].float().mean(1, keepdim=True)


def moments(maps: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of each window, (B, 1, h, w) each.

    In two passes: the mean of squares less the square of the mean would lose all digits where
    windows are nearly uniform, which is where it counts.

    Shapes: maps (B, 1, h * window, w * window) float32
    """
    batch, _, height, width = maps.shape
    cells = maps.reshape(batch, height // window, window, width // window, window)
    mean = cells.mean((2, 4), keepdim=True)
    variance = (cells - mean).square().mean((2, 4))
    return mean[:, :, 0, :, 0].unsqueeze(1), variance.unsqueeze(1)


def _certainty(share: Tensor) -> Tensor:
    """p ln p, which is 0 at 0."""
    return share * share.clamp(min=torch.finfo(share.dtype).tiny).log()
