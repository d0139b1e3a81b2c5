"""From the aggregated map to centres and offsets of instances: one head beside each semantic one.

As in the released code, with attention of their own. There the light semantic head gets no instance
head that works (a semantic one stands in its place); here it gets the auxiliary one.
"""

import torch
from torch import Tensor, nn

from segsuite.methods.hyctas.backbone import FeatureChannels, Features
from segsuite.methods.hyctas.heads import HeadAttention, beside, middle_of
from segsuite.methods.hyctas.operations import LightConvolution2
from segsuite.nn.blocks import ConvNorm


class _Places(nn.Module):
    """Two branches of equal make: the heat of centres, and the offsets to them."""

    def __init__(self, in_channels: int, middle: int) -> None:
        super().__init__()
        self.heat, self.offsets = (_branch(in_channels, middle, count) for count in (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, 3, h, w): heat, then offsets, y first, in steps of the grid."""
        return torch.cat([self.heat(x), self.offsets(x)], dim=1)


def _branch(in_channels: int, middle: int, count: int) -> nn.Sequential:
    narrow = middle // 2
    return nn.Sequential(
        LightConvolution2(in_channels, middle, stride=1, drop=0.0),
        ConvNorm(middle, narrow, kernel=3),
        nn.Conv2d(narrow, count, 1),
    )


class AuxiliaryInstanceHead(nn.Module):
    """Centres and offsets of one map, at its own stride."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = HeadAttention(channels, channels)
        self.places = _Places(channels, middle_of(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, h, w), see `_Places`."""
        return self.places(self.attention(x))


class LightInstanceHead(AuxiliaryInstanceHead):
    """Attention, then centres and offsets at 1/8.

    Args:
        read: channels of the maps that a head may read.
    """

    auxiliary = AuxiliaryInstanceHead

    def __init__(self, *, read: FeatureChannels) -> None:
        super().__init__(read.main)

    def forward(self, features: Features) -> Tensor:
        """(B, 3, H / 8, W / 8), see `_Places`."""
        return super().forward(features.main)


class QuarterInstanceHead(nn.Module):
    """Attention at 1/8, then centres and offsets at 1/4 with the stem's map beside it.

    Args:
        read: channels of the maps that a head may read.
    """

    auxiliary = AuxiliaryInstanceHead

    def __init__(self, *, read: FeatureChannels) -> None:
        super().__init__()
        self.attention = HeadAttention(read.main, read.main)
        self.fine = ConvNorm(read.fine, 48, relu=False)
        self.places = _Places(read.main + 48, middle_of(read.main))

    def forward(self, features: Features) -> Tensor:
        """(B, 3, H / 4, W / 4), see `_Places`."""
        return self.places(beside(self.attention(features.main), self.fine(features.fine)))


class StepwiseInstanceHead(nn.Module):
    """Attention at 1/8, the stem's map at 1/8 beside it, then that at 1/4 and the answers there.

    Args:
        read: channels of the maps that a head may read.
    """

    auxiliary = AuxiliaryInstanceHead

    def __init__(self, *, read: FeatureChannels) -> None:
        super().__init__()
        middle = middle_of(read.main)
        self.attention = HeadAttention(read.main, read.main)
        self.coarse = ConvNorm(read.coarse, 32, relu=False)
        self.fuse = LightConvolution2(read.main + 32, middle, stride=1, drop=0.0)
        self.fine = ConvNorm(read.fine, 16, relu=False)
        self.places = _Places(middle + 16, middle)

    def forward(self, features: Features) -> Tensor:
        """(B, 3, H / 4, W / 4), see `_Places`."""
        coarse = beside(self.attention(features.main), self.coarse(features.coarse))
        return self.places(beside(self.fuse(coarse), self.fine(features.fine)))
