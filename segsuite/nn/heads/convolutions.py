"""Convolutions as DeepLab's heads use them."""

from torch import nn


class ConvNormRelu(nn.Sequential):
    """A convolution without bias, batch norm, ReLU.

    Args:
        separable: whether the convolution is k x k per channel, then 1 x 1 (no norm between, as the
            reference code).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 1,
        dilation: int = 1,
        separable: bool = False,
    ) -> None:
        padding = dilation * (kernel // 2)
        if separable and kernel > 1:
            convolution: nn.Module = nn.Sequential(
                nn.Conv2d(
                    in_channels,
                    in_channels,
                    kernel,
                    padding=padding,
                    dilation=dilation,
                    groups=in_channels,
                    bias=False,
                ),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
            )
        else:
            convolution = nn.Conv2d(
                in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False
            )
        super().__init__(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


def kaiming(module: nn.Module) -> None:
    """Draws all convolutions of a head as the reference code (Kaiming normal)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
