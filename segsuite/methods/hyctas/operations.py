"""The five operations that a cell can be, at stride 1 and 2 (HyCTAS, section 3.3)."""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.nn.blocks import ConvNorm
from segsuite.nn.drop_path import DropPath
from segsuite.ops.attention import attention
from segsuite.ops.bilinear import resized


def halved(x: Tensor) -> Tensor:
    """Bilinear to half the sides, rounded down.

    Shapes: x (B, C, h, w) -> (B, C, h // 2, w // 2)
    """
    return resized(x, (max(x.shape[-2] // 2, 1), max(x.shape[-1] // 2, 1)))


class SelfAttention(nn.Module):
    """gamma * attention(x) + x over all places of a map, by one head.

    Queries and keys have an eighth of the channels, products are not scaled, and there is no
    position encoding: so in the released code; the paper speaks of several heads. gamma is learnt
    and begins at 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // 8, 1)
        self.query = nn.Conv2d(channels, narrow, 1)
        self.key = nn.Conv2d(channels, narrow, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        query, key, value = (
            part(x).flatten(2).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        answer = attention(query, key, value).transpose(1, 2).reshape(x.shape)
        return torch.addcmul(x, self.gamma.to(x.dtype).view(1, 1, 1, 1), answer)


class Skip(nn.Sequential):
    """A 1 x 1 convolution, batch norm and ReLU; where the resolution halves it cannot stand."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, drop: float) -> None:
        del drop
        if stride != 1:
            raise ConfigError("operation skip keeps the resolution; choose another for a down")
        super().__init__(ConvNorm(in_channels, out_channels))


class Convolution(nn.Sequential):
    """A 3 x 3 convolution, batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, drop: float) -> None:
        del drop  # without a second path, what is dropped would be the image
        super().__init__(ConvNorm(in_channels, out_channels, kernel=3, stride=stride))


class LightConvolution(nn.Module):
    """3 x 3 convolutions at half the resolution, beside a 1 x 1 at the full one.

    At stride 2 the result stays at half the resolution, and there is no 1 x 1.

    Args:
        count: how many 3 x 3 convolutions follow each other.
        drop: probability of drop path; of the 3 x 3 path alone.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, drop: float, count: int = 1
    ) -> None:
        super().__init__()
        sides = [in_channels, *[out_channels] * count]
        self.main = nn.Sequential(
            *(
                ConvNorm(before, after, kernel=3, relu=step < count - 1)
                for step, (before, after) in enumerate(pairwise(sides))
            )
        )
        self.bypass = ConvNorm(in_channels, out_channels, relu=False) if stride == 1 else None
        self.drop = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w), or half of it at stride 2."""
        main = self.main(halved(x))
        if self.bypass is None:
            return F.relu(main)
        return F.relu(self.drop(resized(main, tuple(x.shape[-2:]))) + self.bypass(x))


class LightConvolution2(LightConvolution):
    """Two 3 x 3 convolutions at half the resolution."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, drop: float) -> None:
        super().__init__(in_channels, out_channels, stride=stride, drop=drop, count=2)


class AttentionCell(nn.Module):
    """1 x 1, attention, batch norm, ReLU and 1 x 1, beside a shortcut.

    At stride 2 attention still sees the full resolution; its result is averaged to half of it.

    Args:
        drop: probability of drop path; the shortcut stays.
        convolved: whether the shortcut has a convolution even where the channels are as many, for
            narrower cells to be slices of this one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        drop: float,
        convolved: bool = False,
    ) -> None:
        super().__init__()
        self.stride = stride
        if stride == 1 and in_channels == out_channels and not convolved:
            self.shortcut: nn.Module = nn.Identity()
        else:
            kernel = 1 if stride == 1 else 3
            self.shortcut = ConvNorm(in_channels, out_channels, kernel=kernel, stride=stride)
        self.enter = ConvNorm(in_channels, out_channels)
        self.attention = SelfAttention(out_channels)
        self.norm = nn.BatchNorm2d(out_channels)
        self.leave = ConvNorm(out_channels, out_channels, relu=False)
        self.drop = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w), or half of it at stride 2."""
        seen = self.attention(self.enter(x))
        if self.stride == 2:
            seen = F.avg_pool2d(seen, 2)
        return F.relu(self.drop(self.leave(F.relu(self.norm(seen)))) + self.shortcut(x))


CELLS: dict[str, Callable[..., nn.Module]] = {
    "skip": Skip,
    "conv": Convolution,
    "light": LightConvolution,
    "light2": LightConvolution2,
    "attention": AttentionCell,
}
"""What makes each operation of a genotype; takes in_channels, out_channels, stride and drop."""
