"""The dense prediction cell: branches of atrous convolutions that feed each other, as data.

"Searching for Efficient Multi-Scale Architectures for Dense Image Prediction" (Chen et al., NeurIPS
2018). Which branches there are and what they read is a list in the config; a further kind of branch
is a class with `layer`.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count, Share
from segsuite.nn.blocks import ConvNorm, truncated_normal
from segsuite.nn.norms import Norm, with_norm

_FOR_STRIDE = 16
"""The output stride that rates in a cell are meant for."""

_ENCODER = -1
"""The `input` of a branch that reads the deep map itself."""


class Branch(Protocol):
    """The description of one branch."""

    input: int

    def layer(
        self, in_channels: int, channels: int, *, output_stride: int, momentum: float
    ) -> nn.Module:
        """(B, in_channels, h, w) -> (B, channels, h, w)."""


class Atrous:
    """A k x k convolution per channel, then 1 x 1, each with batch norm and ReLU.

    Args:
        rate: dilation of (rows, columns), at output stride 16. At 8 it is twice that, at 32 half,
            rounded up (the original code has no cell at 32).
        input: the number of an earlier branch whose result is read, or -1 for the encoder's map.
    """

    def __init__(self, *, rate: Sequence[int], kernel: int = 3, input: int = _ENCODER) -> None:
        self.rate, self.kernel, self.input = tuple(rate), kernel, input
        if len(self.rate) != 2 or min(self.rate) < 1 or kernel < 1 or kernel % 2 == 0:
            raise ConfigError(
                f"a branch of method.head.cell has rate={list(rate)} and kernel={kernel}; rate is "
                "[rows, columns], each 1 or more, and the kernel is odd"
            )

    def layer(
        self, in_channels: int, channels: int, *, output_stride: int, momentum: float
    ) -> nn.Module:
        """See `Branch`."""
        rate = [-(-step * _FOR_STRIDE // output_stride) for step in self.rate]
        spread = ConvNorm(
            in_channels,
            in_channels,
            kernel=self.kernel,
            rate=rate,
            depthwise=True,
            momentum=momentum,
        )
        mix = ConvNorm(in_channels, channels, momentum=momentum)
        truncated_normal(spread.depthwise.weight, 0.33)
        truncated_normal(mix.conv.weight, 0.06)
        return nn.Sequential(spread, mix)


class PyramidPooling:
    """Means over windows, 1 x 1 with batch norm and ReLU, bilinear to the size of the map.

    Args:
        grid: number of windows beside each other (rows, columns); [1, 1] is the mean of the whole
            map.
        input: the number of the branch that is read, as in `Atrous`.
    """

    def __init__(self, *, grid: Sequence[int], input: int = _ENCODER) -> None:
        self.grid, self.input = tuple(grid), input
        if len(self.grid) != 2 or min(self.grid) < 1:
            raise ConfigError(
                f"a branch of method.head.cell has grid={list(grid)}; it is [rows, columns], each "
                "1 or more"
            )

    def layer(
        self, in_channels: int, channels: int, *, output_stride: int, momentum: float
    ) -> nn.Module:
        """See `Branch`."""
        del output_stride  # windows follow the size of the map
        mix = ConvNorm(in_channels, channels, momentum=momentum)
        nn.init.xavier_uniform_(mix.conv.weight)
        return _PooledWindows(self.grid, mix)


class _PooledWindows(nn.Module):
    def __init__(self, grid: tuple[int, ...], mix: nn.Module) -> None:
        super().__init__()
        self.grid, self.mix = grid, mix

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        window = ((height - 1) // self.grid[0] + 1, (width - 1) // self.grid[1] + 1)
        means = self.mix(F.avg_pool2d(x, window, stride=1))
        return F.interpolate(means, size=(height, width), mode="bilinear", align_corners=True)


class DensePredictionCell(nn.Module):
    """All branches side by side, then 1 x 1.

    Args:
        in_channels: channels of the deep map.
        cell: the branches in order; each reads the map or an earlier branch.
        output_stride: stride of that map.
        dropout: dropout probability of the concatenated branches, as the original code.
        norm: kind of the normalisation layers, see `nn.norms`.
        momentum: momentum of the batch norms; the original code's needs ten thousands of
            iterations.

    Attributes:
        out_channels: channels of the result.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        cell: Sequence[Branch],
        output_stride: Literal[8, 16, 32] = 16,
        channels: Count = 256,
        dropout: Share = 0.1,
        norm: Norm = "bn",
        momentum: Share = 3e-4,
    ) -> None:
        super().__init__()
        _check(cell)
        self.out_channels = channels
        self.inputs = tuple(branch.input for branch in cell)
        self.branches = nn.ModuleList(
            branch.layer(
                in_channels if branch.input == _ENCODER else channels,
                channels,
                output_stride=output_stride,
                momentum=momentum,
            )
            for branch in cell
        )
        self.dropout = nn.Dropout(dropout)
        self.project = ConvNorm(len(cell) * channels, channels, momentum=momentum)
        nn.init.xavier_uniform_(self.project.conv.weight)
        with_norm(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, channels, h, w)."""
        outputs: list[Tensor] = []
        for source, branch in zip(self.inputs, self.branches, strict=True):
            outputs.append(branch(x if source == _ENCODER else outputs[source]))
        return self.project(self.dropout(torch.cat(outputs, dim=1)))


def _check(cell: Sequence[Branch]) -> None:
    if not cell:
        raise ConfigError("method.head.cell has no branch; it needs one or more")
    for index, branch in enumerate(cell):
        if not _ENCODER <= branch.input < index:
            raise ConfigError(
                f"method.head.cell[{index}].input={branch.input} is no earlier branch; it must be "
                f"-1 for the encoder's map{f', or 0 to {index - 1}' if index else ''}"
            )
