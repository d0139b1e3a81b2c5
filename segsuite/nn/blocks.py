"""Convolutions, and their batch norm and activation."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Convolution = TypeVar("Convolution", bound=nn.Conv2d)


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
        made = convolution(in_channels, out_channels, kernel, stride, rate, depthwise=depthwise)
        self.add_module("depthwise" if depthwise else "conv", made)
        self.norm = nn.BatchNorm2d(out_channels, eps=eps, momentum=momentum)
        if relu:
            self.act = nn.ReLU()


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    rate: Sequence[int] = (1, 1),
    *,
    depthwise: bool = False,
) -> nn.Conv2d:
    """A convolution without bias, centred; the arguments are those of `ConvNorm`."""
    (rows, columns), reach = rate, kernel // 2
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=(rows * reach, columns * reach),
        dilation=(rows, columns),
        groups=in_channels if depthwise else 1,
        bias=False,
    )


def padded_anew(conv: nn.Conv2d, padding: tuple[int, int], kind: type[Convolution]) -> Convolution:
    """A convolution of that kind with the weights of `conv` itself, and another padding."""
    with torch.device("meta"):
        made = kind(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            stride=(conv.stride[0], conv.stride[1]),
            padding=padding,
            dilation=(conv.dilation[0], conv.dilation[1]),
            groups=conv.groups,
            bias=conv.bias is not None,
        )
    made.weight, made.bias = conv.weight, conv.bias
    return made.train(conv.training)


def replaced(
    network: nn.Module,
    served: Callable[[nn.Module], bool],
    made: Callable[[nn.Conv2d], nn.Module],
) -> None:
    """Puts `made(convolution)` in the place of every convolution of a network that is `served`."""
    known: dict[nn.Module, nn.Module] = {}  # one that two modules share stays one
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, nn.Conv2d) and served(child):
                if child not in known:
                    known[child] = made(child)
                setattr(parent, name, known[child])


def truncated_normal(weight: Tensor, std: float) -> None:
    """Draws a weight as TensorFlow does: normal, cut at two standard deviations."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
