"""Multiply-adds by hooks on the few module types whose cost is plain from their sizes."""

import torch
from torch import Tensor, nn


def macs_by_hand(network: nn.Module, images: Tensor) -> int:
    """Of every Linear, Conv2d, ConvTranspose2d and nn.MultiheadAttention in one forward."""
    found = []

    def linear(module: nn.Linear, args: tuple, result: Tensor) -> None:
        rows = result.numel() // module.out_features
        found.append(rows * module.in_features * module.out_features)

    def convolution(module: nn.Conv2d, args: tuple, result: Tensor) -> None:
        batch, channels, height, width = result.shape
        taps = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
        found.append(batch * channels * height * width * taps)

    def transposed(module: nn.ConvTranspose2d, args: tuple, result: Tensor) -> None:
        batch, channels, height, width = args[0].shape
        taps = module.out_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
        found.append(batch * channels * height * width * taps)

    def attention(module: nn.MultiheadAttention, args: tuple, result: tuple) -> None:
        batch, queries, dim = args[0].shape
        keys = args[1].shape[1]
        projections = 2 * batch * queries * dim**2 + 2 * batch * keys * dim**2
        found.append(projections + 2 * batch * queries * keys * dim)

    by_type = {
        nn.Linear: linear,
        nn.Conv2d: convolution,
        nn.ConvTranspose2d: transposed,
        nn.MultiheadAttention: attention,
    }
    hooks = [
        module.register_forward_hook(by_type[type(module)])
        for module in network.modules()
        if type(module) in by_type
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return sum(found)
