"""A convolution, its batch norm and its activation, each with a name that recipes can match."""

from collections.abc import Sequence

from torch import Tensor, nn


class ConvNorm(nn.Sequential):
    """A convolution without bias, batch norm, and ReLU if asked for.

    The convolution is called `depthwise` where it works per channel and `conv` otherwise, so that
    a recipe can leave `*depthwise*` and `*norm*` out of weight decay.

    Args:
        rate: dilation of (rows, columns); the padding keeps the size at stride 1.
        depthwise: whether each channel has a convolution of its own; `out_channels` is then
            `in_channels`.
        momentum, eps: momentum and epsilon of the batch norm.
    """

    conv: nn.Conv2d
    depthwise: nn.Conv2d
    norm: nn.Module

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        rate: Sequence[int] = (1, 1),
        depthwise: bool = False,
        relu: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        (rows, columns), reach = rate, kernel // 2
        convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=(rows * reach, columns * reach),
            dilation=(rows, columns),
            groups=in_channels if depthwise else 1,
            bias=False,
        )
        self.add_module("depthwise" if depthwise else "conv", convolution)
        self.norm = nn.BatchNorm2d(out_channels, eps=eps, momentum=momentum)
        if relu:
            self.act = nn.ReLU()


def truncated_normal(weight: Tensor, std: float) -> None:
    """Draws a weight as TensorFlow does: normal, cut at two standard deviations."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
