"""1 x 1 convolutions, trained on a CPU as products of matrices: same answers, faster.

Where channels come last, a 1 x 1 convolution is one product of all pixels and the weights. torch
instead takes the pixels apart and lays them out anew if there is one thread, and asks oneDNN if
there are more: forward and backward then take 1.0 to 2.2 times as long, with two threads up to 3.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.nn.blocks import padded_anew, replaced


class PointwiseProduct(nn.Conv2d):
    """A 1 x 1 convolution, in training on a CPU a product of matrices; else as it is."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h, w)."""
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        elsewhere = input.device.type != "cpu" or torch.compiler.is_compiling()
        if not learns or elsewhere or not _channels_come_last(input):
            return super().forward(input)
        pixels = input.permute(0, 2, 3, 1)
        return F.linear(pixels, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def multiply_pointwise(network: nn.Module) -> None:
    """Replaces the network's 1 x 1 convolutions; their weights stay what they are."""
    replaced(network, _is_served, lambda conv: padded_anew(conv, (0, 0), PointwiseProduct))


def _channels_come_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


def _is_served(module: nn.Module) -> bool:
    """Whether it is such a convolution; timm's own kinds are not."""
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == module.stride == (1, 1)
        and module.groups == 1
        and module.padding in ((0, 0), "valid", "same")
    )
