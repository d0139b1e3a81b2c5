"""Convolutions as torch's compiler runs them on a CPU, for networks that are not compiled.

One step of oneDNN each, bias and activation included. By itself torch leaves a 1 x 1 convolution in
one thread to a slower way, which goes through memory twice more: for the bias and for the ReLU.
"""

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.nn.dilated import is_plain

_WIDEST = 6
"""Columns of padding up to which oneDNN's convolutions per channel are fast; beyond, they take a
way that is six times as slow, and padding beforehand pays."""


class FusedConvolution(nn.Module):
    """A convolution and the ReLU behind it, for inference; the same answers.

    In a compiler, on a GPU or in another precision it is just these two steps.

    Args:
        relu: whether a ReLU follows the convolution.
    """

    def __init__(self, convolution: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self.convolution, self.relu = convolution, relu

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h', w')."""
        conv = self.convolution
        if torch.compiler.is_compiling() or not _served(x, conv):
            x = conv(x)
            return x.relu() if self.relu else x
        padding: list[Any] = list(conv.padding)  # numbers: see `_is_served`
        if conv.groups > 1 and padding[1] > _WIDEST:
            x, padding[1] = F.pad(x, (padding[1], padding[1])), 0
        return torch.ops.mkldnn._convolution_pointwise(
            *(x, conv.weight, conv.bias, padding, conv.stride, conv.dilation, conv.groups),
            *("relu" if self.relu else "none", [], ""),
        )


def fused(network: nn.Module) -> nn.Module:
    """The network itself, its convolutions replaced by `FusedConvolution`.

    The ReLU that follows one directly in an `nn.Sequential` becomes part of it.
    """
    for parent in list(network.modules()):
        if isinstance(parent, FusedConvolution):
            continue
        for name, child in list(parent.named_children()):
            if _is_served(child):
                parent.add_module(name, FusedConvolution(child, relu=_takes_relu(parent, name)))
    return network


def _is_served(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether it is a convolution whose padding oneDNN makes."""
    return (
        is_plain(module) and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    )


def _takes_relu(parent: nn.Module, name: str) -> bool:
    """Whether a ReLU is the next step of a sequence; if so, it is taken out of there."""
    if type(parent).forward is not nn.Sequential.forward:
        return False
    names = list(parent._modules)
    for following in names[names.index(name) + 1 :]:
        step = parent._modules[following]
        if isinstance(step, nn.ReLU):
            parent.add_module(following, nn.Identity())
            return True
        if not _does_nothing(step):
            return False
    return False


def _does_nothing(step: nn.Module | None) -> bool:
    """Whether it is what folding leaves of a batch norm, or the like."""
    return isinstance(step, nn.Identity) or (isinstance(step, nn.Sequential) and len(step) == 0)


def _served(x: Tensor, convolution: nn.Conv2d) -> bool:
    """Whether oneDNN is there and takes this."""
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # not a public name
        and not torch.is_autocast_enabled("cpu")
        and x.device.type == "cpu"
        and x.dtype == convolution.weight.dtype == torch.float
        and not torch.is_grad_enabled()  # it has no derivative
    )
