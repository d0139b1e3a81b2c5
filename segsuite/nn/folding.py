"""Batch norms folded into the convolutions before them: same answers, fewer passes over memory."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from segsuite.nn.dilated import is_plain


def for_inference(network: nn.Module, run: Callable[[nn.Module], Any]) -> nn.Module:
    """A copy of `network` for evaluation, without batch norms where a convolution does their work.

    Which batch norm follows which convolution is watched, not guessed from names: `run` is called
    once on the copy, and a pair is folded when the very tensor that a convolution returned is what
    the batch norm gets, and nobody else asked for either module's work in between.

    Args:
        run: applies a network to an example, such as `lambda n: n.predict(images)`.
    """
    folded = copy.deepcopy(network).eval()
    pairs = _pairs(folded, run)
    names = {module: name for name, module in folded.named_modules()}
    for convolution, norm in pairs:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None  # no network here norms by the batch alone
        weights = (convolution.weight, convolution.bias, mean, variance)
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            *weights, norm.eps, norm.weight, norm.bias
        )
        # timm keeps the activation inside the batch norm.
        activation = nn.Sequential(*(getattr(norm, n) for n in ("drop", "act") if hasattr(norm, n)))
        folded.set_submodule(names[norm], activation)
    return folded


def _pairs(
    network: nn.Module, run: Callable[[nn.Module], Any]
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # keeps tensors alive, so that ids stay unique
    pairs: dict[nn.Conv2d, list[nn.BatchNorm2d]] = {}
    calls: dict[nn.Module, int] = {}

    def after_convolution(module: nn.Conv2d, _: Any, output: Tensor) -> None:
        made[id(output)] = (module, output)
        calls[module] = calls.get(module, 0) + 1

    def before_norm(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        calls[module] = calls.get(module, 0) + 1
        if id(inputs[0]) in made:
            pairs.setdefault(made[id(inputs[0])][0], []).append(module)

    handles = []
    for module in network.modules():
        if is_plain(module):  # others may change their weights on the way, as timm's do
            handles.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(before_norm))
    try:
        with torch.no_grad():
            run(network)
    finally:
        for handle in handles:
            handle.remove()
    return [
        (convolution, norms[0])
        for convolution, norms in pairs.items()
        if len(norms) == 1 and calls[convolution] == 1 and calls[norms[0]] == 1
    ]
