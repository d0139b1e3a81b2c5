"""Networks of the family as configured, and what their layers cost by shapes alone."""

from dataclasses import dataclass
from functools import cache

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from segsuite.core.build import build
from segsuite.core.config import composed
from segsuite.methods.mobile.network import MobileSegmenter


def network(*overrides: str, classes: int = 19, meta: bool = False) -> MobileSegmenter:
    """A network with weights that are drawn, or without memory for any."""
    cfg = _config("data=scenes", f"data.num_classes={classes}", *overrides)
    torch.manual_seed(0)
    with torch.device("meta" if meta else "cpu"):
        return build(cfg.method.network, path="method.network")


@cache
def _config(*overrides: str) -> DictConfig:
    """Composed once for networks that are built again and again; nobody writes to it."""
    return composed("train", ["method=mobile", "method.backbone.weights=none", *overrides])


def stirred(module: nn.Module) -> nn.Module:
    """The module at rest, its batch norms with statistics and scales of their own."""
    random = torch.Generator().manual_seed(1)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor, low in ((norm.running_mean, -0.3), (norm.running_var, 0.5)):
                tensor.copy_(torch.rand(tensor.shape, generator=random) + low)
            norm.weight.data.copy_(torch.rand(norm.weight.shape, generator=random) + 0.5)
            norm.bias.data.copy_(torch.rand(norm.bias.shape, generator=random) - 0.5)
    return module.eval()


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@dataclass
class Tally:
    """Of all convolutions: multiply-adds, elements of results; and of max pooling."""

    macs: int = 0
    convolved: int = 0
    pooled: int = 0

    def paper_flops(self, size: tuple[int, int]) -> int:
        """What TensorFlow's profiler says of the network with folded batch norms.

        A multiply-add is 2, a bias 1, a maximum over 3 x 3 is 9, and the input's normalisation 2.
        """
        return 2 * self.macs + self.convolved + 9 * self.pooled + 2 * 3 * size[0] * size[1]


def tally(built: nn.Module, size: tuple[int, int]) -> Tally:
    """What one image of a size costs; the network has no memory, so that nothing is computed."""
    found = Tally()

    def seen(module: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
        if isinstance(module, nn.MaxPool2d):
            found.pooled += result.numel()
        else:
            found.convolved += result.numel()
            found.macs += result.numel() * module.weight[0].numel()

    kinds = (nn.Conv2d, nn.MaxPool2d)
    handles = [m.register_forward_hook(seen) for m in built.modules() if isinstance(m, kinds)]
    built.eval()(torch.zeros(1, 3, *size, device="meta"))
    for handle in handles:
        handle.remove()
    return found


def folded_megabytes(built: nn.Module) -> float:
    """Weights of convolutions and one bias per channel, 4 bytes each, in millions of bytes."""
    convolutions = [m for m in built.modules() if isinstance(m, nn.Conv2d)]
    return sum(4 * (c.weight.numel() + c.out_channels) for c in convolutions) / 1e6
