"""The light head of mobile DeepLabV3: the image's mean beside a 1 x 1 convolution.

DeepLabV3 (Chen et al., 2017) without its atrous branches.
"""

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count, Share
from segsuite.nn.blocks import ConvNorm
from segsuite.nn.heads.pooling import check_pooled
from segsuite.nn.norms import Norm, with_norm


class BasicHead(nn.Module):
    """Image pooling and 1 x 1 side by side, then 1 x 1.

    Args:
        in_channels: channels of the deep map.
        output_stride: stride of that map; makes no difference here.
        dropout: dropout probability of the result, as the original code; its paper draws it behind
            the logits.
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
        output_stride: Literal[8, 16, 32] = 16,
        channels: Count = 256,
        dropout: Share = 0.1,
        norm: Norm = "bn",
        momentum: Share = 3e-4,
    ) -> None:
        super().__init__()
        del output_stride  # every head is told; this one has no rates
        self.out_channels = channels
        self.pooled = ConvNorm(in_channels, channels, momentum=momentum)
        self.local = ConvNorm(in_channels, channels, momentum=momentum)
        self.project = ConvNorm(2 * channels, channels, momentum=momentum)
        self.dropout = nn.Dropout(dropout)
        for convolution in (self.pooled.conv, self.local.conv, self.project.conv):
            nn.init.xavier_uniform_(convolution.weight)
        with_norm(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, channels, h, w)."""
        check_pooled(x, self.pooled.norm)
        pooled = self.pooled(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.dropout(self.project(torch.cat([pooled, self.local(x)], dim=1)))

    def deployed(self) -> nn.Module:
        """A `DeployedBasicHead` with these weights: the same answers at rest, in fewer steps."""
        return DeployedBasicHead(self)


class DeployedBasicHead(nn.Module):
    """`BasicHead` for inference: the pooled half of the last product is made once, not per pixel.

    At 640x360 this spares 60 M of 1,080 M multiply-adds; and runtimes for phones, which do not
    take a broadcast of the pooled vector, take the addition. Batch norms are folded.
    """

    def __init__(self, head: BasicHead) -> None:
        super().__init__()
        self.out_channels = head.out_channels
        self.pooled, self.local = (
            nn.Sequential(_folded(part), nn.ReLU()) for part in (head.pooled, head.local)
        )
        project = _folded(head.project)
        first, second = project.weight.detach().split(head.out_channels, dim=1)
        self.project_pooled = nn.Conv2d(*first.shape[1::-1], 1)
        self.project_local = nn.Conv2d(*second.shape[1::-1], 1, bias=False)
        self.project_pooled.load_state_dict({"weight": first, "bias": project.bias})
        self.project_local.load_state_dict({"weight": second})

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, channels, h, w)."""
        pooled = self.project_pooled(self.pooled(x.mean((2, 3), keepdim=True)))
        return (self.project_local(self.local(x)) + pooled).relu()


def _folded(part: ConvNorm) -> nn.Conv2d:
    """The convolution with its batch norm inside; as it is where the norm is folded already."""
    part = copy.deepcopy(part).eval()
    if isinstance(part.norm, nn.BatchNorm2d):
        return fuse_conv_bn_eval(part.conv, part.norm)
    if part.conv.bias is None:
        raise ConfigError("method.norm=gn16 cannot be folded into convolutions; train with bn")
    return part.conv
