"""Pretrained weights take images that are normalised by another mean and deviation than theirs."""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError

log = logging.getLogger(__name__)

Pixels = tuple[Sequence[float], Sequence[float]]
"""(mean, std) of each channel in 0..255."""

IMAGENET: Pixels = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


class Backbone(Protocol):
    """What is asked of a backbone beside being a module: `FeatureMaps` and `ShuffleNetV2` are.

    Attributes:
        channels: channels of the map at stride 4 and of the deep one.
        weights: the weights that it begins with, or "none".
        pixels: mean and standard deviation of the pixels that these weights were trained on.
    """

    channels: tuple[int, int]
    weights: str
    pixels: Pixels

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]: ...

    def load_initial_weights(self) -> None: ...

    def modules(self) -> Iterator[nn.Module]:
        """As of any module."""


def stated(mean: Sequence[float] | None, std: Sequence[float] | None) -> Pixels | None:
    """`weights_mean` and `weights_std` of a network; None where the backbone is to say it.

    Raises:
        ConfigError: one was given without the other.
    """
    if (mean is None) != (std is None):
        raise ConfigError(
            "method.network.weights_mean and method.network.weights_std belong together; give "
            "both, or neither"
        )
    return None if mean is None or std is None else (tuple(mean), tuple(std))


def load_initial_weights(backbone: Backbone, *, trained: Pixels | None, given: Pixels) -> None:
    """Loads the backbone's pretrained weights, and lets them take pixels normalised as given.

    Args:
        trained: how the pixels were normalised that the weights learnt on; None: as the backbone
            says. One of other people's need not say, and its weights are left as they are.

    Raises:
        ConfigError: the weights expect other colours, and cannot be brought to ours.
    """
    backbone.load_initial_weights()
    trained = trained or getattr(backbone, "pixels", given)
    if _alike(trained, given) or getattr(backbone, "weights", "none") == "none":
        return
    if not read_colours(backbone, trained=trained, given=given):
        mean, std = ([round(value, 3) for value in part] for part in trained)
        raise ConfigError(
            f"method.backbone.weights={backbone.weights} expect pixels of mean {mean} and cannot "
            f"be brought to method.mean={list(given[0])}, because the first convolution has no "
            f"batch norm; type method.mean={mean} method.std={std}"
        )
    log.info(
        "method.backbone.weights=%s learnt on pixels of mean %s and std %s; they are brought to "
        "method.mean and method.std",
        backbone.weights,
        *trained,
    )


def _alike(one: Pixels, other: Pixels) -> bool:
    pairs = zip([*one[0], *one[1]], [*other[0], *other[1]], strict=True)
    return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-3) for a, b in pairs)


@torch.no_grad()
def read_colours(
    body: nn.Module | Backbone,
    *,
    trained: Pixels,
    given: Pixels,
) -> bool:
    """Lets a network that learnt on pixels normalised one way take them normalised another way.

    Its first convolution is scaled, and the mean that its batch norm subtracts is moved: the
    answers stay, but for the border, where padding now has another colour. False, and nothing is
    changed, where the first convolution is not followed by a batch norm.

    Args:
        trained, given: (mean, std) per channel, both on the same scale.
    """
    layers = [m for m in body.modules() if not list(m.children()) or hasattr(m, "running_mean")]
    convolution = next((m for m in layers if isinstance(m, nn.Conv2d)), None)
    if convolution is None:
        return False
    after = layers[layers.index(convolution) + 1 :]
    moving = getattr(after[0], "running_mean", None) if after else None
    if moving is None or len(moving) != convolution.out_channels:
        return False
    (mean, std), (our_mean, our_std) = (
        [torch.tensor(part, dtype=torch.double) for part in pair] for pair in (trained, given)
    )
    weight = convolution.weight.double()
    moved = (weight.sum((2, 3)) * ((our_mean - mean) / std)).sum(1)
    moving.sub_(moved)
    convolution.weight.copy_(weight * (our_std / std)[:, None, None])
    return True
