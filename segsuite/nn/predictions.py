"""The prediction of a network whose scores live on a coarse grid."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from segsuite.core.contract import Size, TokenTrace
from segsuite.ops.upsample import upsampled_argmax


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
