"""The DeepLabV3+ decoder: atrous spatial pyramid pooling, and a skip at stride 4."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from segsuite.core.hints import Count
from segsuite.nn.blocks import convolution
from segsuite.nn.heads.pooling import check_pooled
from segsuite.nn.norms import Norm, with_norm
from segsuite.ops.bilinear import resized

_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    dilation: int = 1,
    separable: bool = False,
) -> nn.Sequential:
    """A convolution without bias, batch norm, ReLU: numbered, as checkpoints of before know them.

    Args:
        separable: whether the convolution is k x k per channel, then 1 x 1 (no norm between, as the
            reference code).
    """
    rate = (dilation, dilation)
    if separable and kernel > 1:
        spread = convolution(in_channels, in_channels, kernel, rate=rate, depthwise=True)
        made: nn.Module = nn.Sequential(spread, convolution(in_channels, out_channels))
    else:
        made = convolution(in_channels, out_channels, kernel, rate=rate)
    return nn.Sequential(made, nn.BatchNorm2d(out_channels), nn.ReLU())


class ImagePooling(nn.Module):
    """The image's mean, through 1 x 1, spread over the map again."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = conv_norm_relu(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w)."""
        check_pooled(x, self.project[1])
        pooled = self.project(x.mean((2, 3), keepdim=True))
        # In the layout of the maps that it is put beside: theirs would be changed otherwise.
        last = x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        return pooled.expand(-1, -1, *x.shape[2:]).contiguous(memory_format=layout)


class SpatialPyramid(nn.Module):
    """ASPP: 1 x 1, three 3 x 3 at growing rates and image pooling side by side, then 1 x 1.

    Paper: DeepLabV3 (Chen et al., 2017), section 3.3.
    """

    def __init__(
        self, in_channels: int, channels: int, *, rates: Sequence[int], separable: bool
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv_norm_relu(in_channels, channels),
                *(conv_norm_relu(in_channels, channels, 3, rate, separable) for rate in rates),
                ImagePooling(in_channels, channels),
            ]
        )
        self.project = conv_norm_relu(len(self.branches) * channels, channels)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, channels, h, w)."""
        branches = torch.cat([branch(x) for branch in self.branches], dim=1)
        return self.dropout(self.project(branches))


class DeepLabV3Plus(nn.Module):
    """From a fine and a deep feature map to one at stride 4 (Chen et al., ECCV 2018).

    One 3 x 3 convolution after the skip, as ESSNet's code; the paper has two.

    Args:
        in_channels: channels of the fine and of the deep map.
        output_stride: stride of the deep map; decides the rates.
        separable: whether the 3 x 3 convolutions are made per channel, then 1 x 1.
        norm: kind of the normalisation layers, see `nn.norms`.

    Attributes:
        out_channels: channels of the result.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        output_stride: Literal[8, 16, 32] = 16,
        separable: bool = False,
        norm: Norm = "bn",
        channels: Count = 256,
        skip_channels: int = 48,
    ) -> None:
        super().__init__()
        fine, deep = in_channels
        rates = _RATES[output_stride]
        self.out_channels = channels
        self.pyramid = SpatialPyramid(deep, channels, rates=rates, separable=separable)
        self.skip = conv_norm_relu(fine, skip_channels)
        self.fuse = conv_norm_relu(channels + skip_channels, channels, 3, separable=separable)
        for part in self.modules():  # as the reference code draws them
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight)
        with_norm(self, norm)

    def forward(self, fine: Tensor, deep: Tensor) -> Tensor:
        """(B, channels, H / 4, W / 4).

        Shapes: fine (B, C1, H / 4, W / 4), deep (B, C2, h, w)
        """
        coarse = self.pyramid(deep)
        coarse = resized(coarse, (fine.shape[2], fine.shape[3]))
        return self.fuse(torch.cat([self.skip(fine), coarse], dim=1))
