"""The normalisation that a network applies to its own input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """(images - mean) / std per channel, in floating point.

    Mean and std are on the scale of the images, 0..255. They are constructor arguments, not
    weights: checkpoints carry them in their config.

    Shapes: images (B, C, H, W), uint8 or floating point -> (B, C, H, W)
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        center = torch.tensor(mean, dtype=torch.float).view(-1, 1, 1)
        spread = torch.tensor(std, dtype=torch.float).view(-1, 1, 1)
        self.register_buffer("scale", 1 / spread, persistent=False)
        self.register_buffer("shift", -center / spread, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.addcmul(self.shift, images.to(self.scale.dtype), self.scale)
