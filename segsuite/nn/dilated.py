"""Dilated convolutions per channel, trained on a CPU as undilated ones: same answers, faster.

For the gradients of dilated ones oneDNN has no kernel per channel. But a pixel sees only those of
its own remainders of row and column, so that the image falls into rate x rate smaller ones without
dilation: at rate 2, forward and backward take a sixth (3x3) to a half (5x5) of the time.
"""

from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.nn.blocks import padded_anew, replaced
from segsuite.nn.pointwise import PointwiseProduct


class SplitDilation(nn.Conv2d):
    """A dilated convolution per channel, in training on a CPU on sub-grids; else as it is.

    Who looks for plain convolutions, to fold or to fuse them, finds one in it: see `is_plain`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h, w)."""
        rate, sides = self.dilation[0], input.shape[-2:]
        rows, columns = (-(-side // rate) for side in sides)
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        narrow = min(rows, columns) < max(self.kernel_size)  # grids so small are slower
        elsewhere = input.device.type != "cpu" or input.ndim != 4 or torch.compiler.is_compiling()
        if not learns or narrow or elsewhere:
            return super().forward(input)
        layout = torch.contiguous_format if input.is_contiguous() else torch.channels_last
        # Zeros beyond the border, as those that the convolution itself adds.
        x = F.pad(input, (0, rate * columns - sides[1], 0, rate * rows - sides[0]))
        grids = x.permute(0, 2, 3, 1).reshape(-1, rows, rate, columns, rate, x.shape[1])
        grids = grids.permute(2, 4, 0, 1, 3, 5).flatten(0, 2).permute(0, 3, 1, 2)
        padding = [side // 2 for side in self.kernel_size]
        answers = F.conv2d(grids, self.weight, self.bias, padding=padding, groups=self.groups)
        whole = answers.permute(0, 2, 3, 1).unflatten(0, (rate, rate, -1))
        whole = whole.permute(2, 3, 0, 4, 1, 5).flatten(3, 4).flatten(1, 2)
        result = whole[:, : sides[0], : sides[1]].permute(0, 3, 1, 2)
        return result.contiguous(memory_format=layout)


def split_dilations(network: nn.Module) -> None:
    """Replaces the network's dilated convolutions per channel; their weights stay what they are."""
    replaced(network, _is_served, _split)


def is_plain(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether it is a convolution that does nothing else; timm's own kinds do (same padding...)."""
    return type(module) in (nn.Conv2d, SplitDilation, PointwiseProduct)


def _is_served(module: nn.Module) -> bool:
    """Whether it is such a convolution, centred and of stride 1; timm's own kinds are not."""
    return (
        type(module) is nn.Conv2d
        and 1 < module.groups == module.in_channels
        and module.dilation[0] == module.dilation[1] > 1
        and module.stride == (1, 1)
        and all(side % 2 for side in module.kernel_size)
        and module.padding == tuple(module.dilation[0] * (side // 2) for side in module.kernel_size)
        and module.padding_mode == "zeros"
    )


def _split(conv: nn.Conv2d) -> SplitDilation:
    rows, columns = (conv.dilation[0] * (side // 2) for side in conv.kernel_size)
    return padded_anew(conv, (rows, columns), SplitDilation)
