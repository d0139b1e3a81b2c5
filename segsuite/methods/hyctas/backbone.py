"""The decoded network up to its head: stem, branches of cells, aggregation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segsuite.methods.hyctas.aggregation import BranchDecoder, FeatureFusion
from segsuite.methods.hyctas.genotype import SCALES, Genotype
from segsuite.methods.hyctas.operations import CELLS
from segsuite.methods.hyctas.stem import Stem


@dataclass(frozen=True)
class Features:
    """What heads read.

    Attributes:
        main: the aggregated map, (B, C, H / 8, W / 8).
        fine: the stem's map at 1/4.
        coarse: the stem's map at 1/8.
        ends: the last map of each branch, where branches were asked for.
        taps: the maps of each branch before it halved their resolution, likewise.
    """

    main: Tensor
    fine: Tensor
    coarse: Tensor
    ends: Sequence[Tensor] = ()
    taps: Sequence[Sequence[Tensor]] = ()


@dataclass(frozen=True)
class FeatureChannels:
    """Channels of the maps in `Features` of the same names."""

    main: int
    fine: int
    coarse: int


class Backbone(nn.Module):
    """The network of a genotype.

    Args:
        drop_path: probability with which the main path of a cell is dropped for an image.
        gate: whether the aggregated channels are weighted by the whole image.

    Attributes:
        channels: channels of its maps.
        tapped: channels of each branch's maps before it halves their resolution.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        drop_path: float,
        gate: bool,
    ) -> None:
        super().__init__()
        self.genotype, channels = genotype, genotype.channels
        self.stem = Stem(channels)
        self.cells = nn.ModuleDict()
        self.tapped: list[list[int]] = []
        for number, branch in enumerate(genotype.branches):
            width, taps = channels.end(8), []
            for layer, operation in enumerate(branch.operations):
                down, scale = layer in branch.downs, branch.scale(layer)
                wide = channels.of(
                    2 * scale if down else scale, branch.width(layer, ends=channels.ends)
                )
                if down:
                    taps.append(width)
                if genotype.shared[number][layer] == number:
                    self.cells[_name(layer, number)] = CELLS[operation](
                        width, wide, stride=2 if down else 1, drop=drop_path
                    )
                width = wide
            self.tapped.append(taps)
        self.decoders = nn.ModuleList(
            BranchDecoder(branch, channels, taps)
            for branch, taps in zip(genotype.branches, self.tapped, strict=True)
        )
        main = len(genotype.branches) * channels.end(SCALES[0])
        self.channels = FeatureChannels(main, self.stem.fine, channels.end(SCALES[0]))
        self.fusion = FeatureFusion(main, main, gate=gate)

    def forward(self, pixels: Tensor, *, branches: bool = False) -> Features:
        """See `Features`.

        Args:
            branches: whether the maps of branches are kept too.

        Shapes: pixels (B, 3, H, W)
        """
        fine, coarse = self.stem(pixels)
        ends, taps, known = [], [], {}
        for number, branch in enumerate(self.genotype.branches):
            x, own = coarse, []
            for layer in range(branch.depth):
                if layer in branch.downs:
                    own.append(x)
                name = _name(layer, self.genotype.shared[number][layer])
                if name not in known:
                    known[name] = self.cells[name](x)
                x = known[name]
            ends.append(x)
            taps.append(own)
        decoded = [
            decode(end, own) for decode, end, own in zip(self.decoders, ends, taps, strict=True)
        ]
        main = self.fusion(torch.cat(decoded, dim=1))
        if not branches:
            return Features(main, fine, coarse)
        return Features(main, fine, coarse, ends, taps)


def _name(layer: int, branch: int) -> str:
    """Of a cell, as the released checkpoints have it: layer, then branch."""
    return f"{layer}-{branch}"
