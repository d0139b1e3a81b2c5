"""From the image to 1/8 of it, where branches begin; low-level features on the way."""

from torch import Tensor, nn

from segsuite.methods.hyctas.channels import Channels
from segsuite.nn.blocks import ConvNorm


class Stem(nn.Module):
    """Three steps of stride 2: a 3 x 3 convolution without ReLU, then twice a pair of 3 x 3.

    Attributes:
        fine: channels of the result at 1/4.
    """

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        first, self.fine, last = 2 * channels.end(2), 2 * channels.end(4), channels.end(8)
        self.enter = ConvNorm(3, first, kernel=3, stride=2, relu=False)
        self.quarter = _pair(first, self.fine)
        self.eighth = _pair(self.fine, last)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, fine, H / 4, W / 4) and (B, C, H / 8, W / 8)."""
        fine = self.quarter(self.enter(pixels))
        return fine, self.eighth(fine)


def _pair(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(in_channels, out_channels, kernel=3, stride=2),
        ConvNorm(out_channels, out_channels, kernel=3),
    )
