"""Sizes of images and maps: padding, cropping, resizing."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.core.sizes import Size
from segsuite.ops.bilinear import resized


def padded_to(images: Tensor, size: Size, value: Sequence[float]) -> Tensor:
    """The images, with `value` added below and to the right.

    Channels after the first three, such as the labels that an oracle sees, are filled with IGNORE.

    Shapes: images (..., C, h, w) -> (..., C, *size)
    """
    height, width = size_of(images)
    if (height, width) == size:
        return images
    channels = [*value, *[IGNORE] * (images.shape[-3] - len(value))]
    filling = torch.tensor(channels, dtype=torch.float32, device=images.device)[:, None, None]
    canvas = filling.expand(*images.shape[:-2], *size).clone()
    canvas[..., :height, :width] = images
    return canvas


def with_labels_resized(image: Tensor, size: Size) -> Tensor:
    """The image, bilinear; channels after the first three, such as an oracle's labels, nearest.

    Shapes: image (C, h, w) -> (C, *size) float, or the input itself
    """
    if size_of(image) == size:
        return image
    colours = resized(image[None, :3], size)[0]
    if image.shape[0] == 3:
        return colours
    ids = F.interpolate(image[None, 3:].float(), size=size, mode="nearest-exact")[0]
    return torch.cat([colours, ids])


def grown(size: Size, seen: Size, padded: Size) -> Size:
    """The size of a map whose top left part of `size` belongs to the image, the rest to padding.

    Exact where the image is seen at its own size; otherwise rounded to whole pixels, which moves
    boundaries by less than half a pixel.
    """
    return tuple(round(n * p / s) for n, s, p in zip(size, seen, padded, strict=True))


def rounded_up(size: Size, divisor: int) -> Size:
    """The next size whose sides are multiples of `divisor`."""
    return tuple(-(-side // divisor) * divisor for side in size)


def at_least(size: Size, least: Size) -> Size:
    """The larger of both, side by side."""
    return tuple(max(side, low) for side, low in zip(size, least, strict=True))


def scaled(size: Size, factor: float) -> Size:
    """Both sides times `factor`, rounded, at least 1."""
    return tuple(max(round(side * factor), 1) for side in size)


def size_of(image: Tensor) -> Size:
    """(height, width) of anything whose last two dimensions are those."""
    return tuple(image.shape[-2:])


def pair(sides: Sequence[int]) -> Size:
    """Two sides from a config's list.

    Raises:
        ConfigError: they are not two.
    """
    if isinstance(sides, int | float | str) or len(sides) != 2:
        told = sides if isinstance(sides, int | float | str) else list(sides)
        raise ConfigError(f"size={told} is no size; type two sides, as size=[360,480]")
    return sides[0], sides[1]
