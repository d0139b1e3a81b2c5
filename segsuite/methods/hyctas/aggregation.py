"""Branches that end at different scales become one map at 1/8 (HyCTAS, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segsuite.methods.hyctas.channels import Channels
from segsuite.methods.hyctas.genotype import SCALES, Branch, Genotype
from segsuite.nn.blocks import ConvNorm
from segsuite.nn.heads.pooling import check_pooled
from segsuite.ops.bilinear import resized


class FeatureFusion(nn.Module):
    """A 1 x 1 convolution, whose channels are then weighted by what the whole image shows.

    Args:
        gate: whether they are weighted.
    """

    def __init__(self, in_channels: int, out_channels: int, *, gate: bool = True) -> None:
        super().__init__()
        self.mix = ConvNorm(in_channels, out_channels)
        squeeze = ConvNorm(out_channels, out_channels)
        excite = ConvNorm(out_channels, out_channels, relu=False)
        self.gate = nn.Sequential(squeeze, excite) if gate else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w)."""
        mixed = self.mix(x)
        if self.gate is None:
            return mixed
        check_pooled(x, self.gate[0].norm, instead="method.gate=false")
        return mixed + mixed * torch.sigmoid(self.gate(mixed.mean((2, 3), keepdim=True)))


class BranchDecoder(nn.Module):
    """From the end of a branch to 1/8, one scale at a time, beside what it had there before.

    Args:
        tapped: channels of the branch's own maps at 1/8 and 1/16, as far as it leaves them.
    """

    def __init__(self, branch: Branch, channels: Channels, tapped: Sequence[int]) -> None:
        super().__init__()
        ends = [channels.end(scale) for scale in SCALES[: branch.last + 1]]
        steps = range(branch.last, 0, -1)
        self.arms = nn.ModuleList(ConvNorm(ends[t], ends[t - 1], relu=False) for t in steps)
        self.refines = nn.ModuleList(
            ConvNorm(ends[t - 1] + tapped[t - 1], ends[t - 1], kernel=3, relu=False) for t in steps
        )

    def forward(self, deep: Tensor, taps: Sequence[Tensor]) -> Tensor:
        """(B, C, H / 8, W / 8).

        Args:
            taps: the branch's maps before it halved their resolution, the finest first.
        """
        for arm, refine, tap in zip(self.arms, self.refines, reversed(taps), strict=True):
            up = resized(arm(deep), tuple(tap.shape[-2:]))
            deep = refine(torch.cat([up, tap], dim=1))
        return deep


class AuxiliaryFusion(nn.Module):
    """Maps at 1/16 and 1/32 that auxiliary heads learn from; for networks that have some.

    Attributes:
        out_channels: channels of the map at 1/16 and of that at 1/32, where there is one.
    """

    def __init__(
        self,
        genotype: Genotype,
        tapped: Sequence[Sequence[int]],
        *,
        gate: bool,
    ) -> None:
        super().__init__()
        channels = genotype.channels
        self._lasts = [branch.last for branch in genotype.branches]
        middle = [
            tapped[number][1] if last == 2 else channels.end(16)
            for number, last in enumerate(self._lasts)
            if last > 0
        ]
        deep = [channels.end(32)] if 2 in self._lasts else []
        read = {16: sum(middle), 32: sum(deep)}
        self.out_channels = [channels.end(scale) for scale, wide in read.items() if wide]
        self.fusions = nn.ModuleList(
            FeatureFusion(wide, channels.end(scale), gate=gate)
            for scale, wide in read.items()
            if wide
        )

    def forward(self, ends: Sequence[Tensor], taps: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """As many maps as `out_channels`.

        Args:
            ends: the last map of each branch.
            taps: the maps of each before it halved their resolution.
        """
        # The deepest branch's first, as the released code has them.
        branches = sorted(zip(self._lasts, ends, taps, strict=True), key=lambda b: -b[0])
        middle = [taps[1] if last == 2 else end for last, end, taps in branches if last > 0]
        deep = [end for last, end, _ in branches if last == 2]
        maps = [torch.cat(parts, dim=1) for parts in (middle, deep) if parts]
        return [fuse(map_) for fuse, map_ in zip(self.fusions, maps, strict=True)]
