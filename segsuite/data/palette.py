"""Labels as colours, for people to look at."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINE = np.array([255, 255, 255], np.uint8)


def colourise(labels: Any, colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB of class numbers; ignored pixels (negative) are black.

    Shapes: labels (..., H, W) tensor or array, colors (C, 3) -> (..., H, W, 3)
    """
    with_black = np.concatenate([colors, np.zeros((1, 3), np.uint8)])
    labels = np.asarray(labels)
    return with_black[np.where(labels < 0, len(colors), labels)]


def overlay(
    image: Any,
    labels: Any,
    colors: NDArray[np.uint8],
    alpha: float = 0.5,
    *,
    instances: Any | None = None,
) -> NDArray[np.uint8]:
    """The image mixed with `alpha` of its labels' colours; ignored pixels show the image.

    Args:
        instances: ids between which white lines are drawn, 0 where there is none.

    Shapes: image (3, H, W) tensor or array of 0..255, labels (H, W), instances (H, W), or
        (H + 1, W) where a part of an image goes on below -> (H, W, 3)
    """
    pixels = np.moveaxis(np.asarray(image), 0, -1).astype(np.float32)
    labels = np.asarray(labels)
    mixed = pixels + alpha * (colourise(labels, colors) - pixels)
    mixed = np.where(labels[..., None] < 0, pixels, mixed).round().astype(np.uint8)
    return mixed if instances is None else bordered(mixed, instances)


def bordered(pixels: NDArray[np.uint8], instances: Any) -> NDArray[np.uint8]:
    """The pixels with a white line around every instance.

    Shapes: pixels (H, W, 3), instances (H, W), or (H + 1, W) as of `overlay` -> (H, W, 3)
    """
    borders = instance_borders(instances)[: len(pixels)]
    return np.where(borders[..., None], _LINE, pixels)


def instance_borders(instances: Any) -> NDArray[np.bool_]:
    """Pixels of which the next one, to the right or below, is of another instance or of none.

    Shapes: instances (H, W) tensor or array of ids, 0 where there is none -> (H, W)
    """
    ids = np.asarray(instances)
    borders = np.zeros(ids.shape, bool)
    borders[:, :-1] = ids[:, :-1] != ids[:, 1:]
    borders[:-1] |= ids[:-1] != ids[1:]
    return borders
