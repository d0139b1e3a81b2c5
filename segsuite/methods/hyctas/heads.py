"""From the aggregated map to class scores: the released heads, and their sibling's light one.

`light` answers at 1/8; `s4`, `s4s8` and `lite` at 1/4, with the stem's maps beside the aggregated.
Auxiliary heads read one map at 1/16 or 1/32.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.methods.hyctas.backbone import FeatureChannels, Features
from segsuite.methods.hyctas.operations import LightConvolution2, SelfAttention, halved
from segsuite.nn.blocks import ConvNorm
from segsuite.ops.bilinear import resized

_WIDE = 256
"""Channels from which on heads work with half of them."""


def middle_of(channels: int) -> int:
    """Channels inside of a head that reads so many."""
    return channels if channels <= _WIDE else channels // 2


class HeadAttention(nn.Module):
    """Attention at half the resolution between 1 x 1 convolutions, beside a shortcut.

    Args:
        first: whether the resolution is halved before the first of them, as the lite head does.
    """

    def __init__(self, in_channels: int, out_channels: int, *, first: bool = False) -> None:
        super().__init__()
        self.first = first
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else ConvNorm(in_channels, out_channels)
        )
        self.enter = ConvNorm(in_channels, out_channels)
        self.attention = SelfAttention(out_channels)
        self.norm = nn.BatchNorm2d(out_channels)
        self.leave = ConvNorm(out_channels, out_channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w)."""
        size = (x.shape[-2], x.shape[-1])
        half = self.enter(halved(x)) if self.first else halved(self.enter(x))
        seen = F.relu(self.norm(self.attention(half)))
        if self.first:
            return F.relu(resized(self.leave(seen), size) + self.shortcut(x))
        return F.relu(self.leave(resized(seen, size)) + self.shortcut(x))


class _Scores(nn.Sequential):
    """Two light-weight convolutions in one cell, a 3 x 3 and the classes."""

    def __init__(self, in_channels: int, middle: int, num_classes: int) -> None:
        super().__init__(
            LightConvolution2(in_channels, middle, stride=1, drop=0.0),
            ConvNorm(middle, middle, kernel=3),
            nn.Conv2d(middle, num_classes, 1),
        )


class AuxiliaryHead(nn.Module):
    """Scores of one map at its own stride: as the light head, or the lite one's attention alone."""

    def __init__(self, channels: int, num_classes: int, *, lite: bool = False) -> None:
        super().__init__()
        middle = middle_of(channels)
        self.attention = HeadAttention(channels, middle if lite else channels, first=lite)
        self.scores = (
            nn.Conv2d(middle, num_classes, 1) if lite else _Scores(channels, middle, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, num_classes, h, w)."""
        return self.scores(self.attention(x))


class LightHead(nn.Module):
    """Attention, then scores at 1/8; the paper's choice for S.

    Args:
        read: channels of the maps that a head may read.
    """

    auxiliary = AuxiliaryHead

    def __init__(self, *, read: FeatureChannels, num_classes: int) -> None:
        super().__init__()
        self.attention = HeadAttention(read.main, read.main)
        self.scores = _Scores(read.main, middle_of(read.main), num_classes)

    def forward(self, features: Features) -> Tensor:
        """(B, num_classes, H / 8, W / 8)."""
        return self.scores(self.attention(features.main))


class _AtQuarter(nn.Module):
    """Scores at 1/4, of attention at 1/8 with the stem's map at 1/4 beside it."""

    attention: nn.Module
    fine: nn.Module
    scores: nn.Module

    def forward(self, features: Features) -> Tensor:
        """(B, num_classes, H / 4, W / 4)."""
        return self.scores(beside(self.attention(features.main), self.fine(features.fine)))


class QuarterHead(_AtQuarter):
    """Attention at 1/8, then scores at 1/4 with the stem's map beside it.

    Args:
        read: channels of the maps that a head may read.
    """

    auxiliary = AuxiliaryHead

    def __init__(self, *, read: FeatureChannels, num_classes: int) -> None:
        super().__init__()
        self.attention = HeadAttention(read.main, read.main)
        self.fine = ConvNorm(read.fine, 48, relu=False)
        self.scores = _Scores(read.main + 48, middle_of(read.main), num_classes)


class StepwiseHead(nn.Module):
    """Attention at 1/8, the stem's map at 1/8 beside it, then that at 1/4 and scores there.

    Args:
        read: channels of the maps that a head may read.
    """

    auxiliary = AuxiliaryHead

    def __init__(self, *, read: FeatureChannels, num_classes: int) -> None:
        super().__init__()
        self.attention = HeadAttention(read.main, read.main)
        self.coarse = ConvNorm(read.coarse, 64, relu=False)
        self.fuse = LightConvolution2(read.main + 64, read.main, stride=1, drop=0.0)
        self.fine = ConvNorm(read.fine, 32, relu=False)
        self.scores = _Scores(read.main + 32, middle_of(read.main), num_classes)

    def forward(self, features: Features) -> Tensor:
        """(B, num_classes, H / 4, W / 4)."""
        coarse = beside(self.attention(features.main), self.coarse(features.coarse))
        return self.scores(beside(self.fuse(coarse), self.fine(features.fine)))


class LiteHead(_AtQuarter):
    """Attention that is halved first, the stem's map at 1/4 beside it, one 3 x 3 and the classes.

    That of the sibling code (CyDAS); with it, and no gate, the paper's counts of L come out.

    Args:
        read: channels of the maps that a head may read.
    """

    auxiliary = partial(AuxiliaryHead, lite=True)

    def __init__(self, *, read: FeatureChannels, num_classes: int) -> None:
        super().__init__()
        middle = middle_of(read.main)
        self.attention = HeadAttention(read.main, middle, first=True)
        self.fine = ConvNorm(read.fine, 48)
        self.scores = nn.Sequential(
            ConvNorm(middle + 48, middle, kernel=3), nn.Conv2d(middle, num_classes, 1)
        )


def beside(coarse: Tensor, fine: Tensor) -> Tensor:
    """Both maps at the size of the fine one, one behind the other."""
    return torch.cat([resized(coarse, (fine.shape[-2], fine.shape[-1])), fine], dim=1)
