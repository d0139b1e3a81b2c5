"""Random brightness, contrast, saturation and hue: as in mmseg, and as in torchvision."""

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
)

from segsuite.core.hints import Between, Rising, Share
from segsuite.data.transforms.pixels import of_rows, rows_of

_ROWS = 64
"""Of an image that are changed at once: what is made of them in between stays in the cache."""

_Factors = Annotated[tuple[Annotated[float, Between(0)], Annotated[float, Between(0)]], Rising()]


@dataclass(frozen=True, kw_only=True)
class PhotometricDistortion:
    """Random brightness, contrast, saturation and hue, each with probability 1/2.

    The steps and ranges are mmseg's; contrast comes before or after the colours by a coin. Values
    stay real numbers until the end, where mmseg rounds to whole ones after every step; what does
    not mix channels is a table of the 256 values that there are.

    Attributes:
        brightness: largest shift of the values, out of 255.
        contrast, saturation: (least, most) factor.
        hue: largest turn to either side in OpenCV's units, 180 to the circle: 90 for any hue.
    """

    brightness: Annotated[float, Between(0, 255)] = 32.0
    contrast: _Factors = (0.5, 1.5)
    saturation: _Factors = (0.5, 1.5)
    hue: Annotated[float, Between(0, 90)] = 18.0

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """The distorted image.

        Shapes: image (3, H, W) uint8 -> (3, H, W) uint8
        """
        # All numbers are drawn whether used or not, so that one switch does not move the others.
        shift, contrast, saturation, turn, *coins = torch.rand(9, generator=generator).tolist()
        use_shift, use_contrast, use_saturation, use_hue = (coin < 0.5 for coin in coins[:4])
        values = np.arange(256, dtype=np.float32)  # what becomes of each
        if use_shift:
            values = (values + (2 * shift - 1) * self.brightness).clip(0, 255)
        factor = _between(self.contrast, contrast) if use_contrast else 1.0
        if coins[4] < 0.5 or not (use_saturation or use_hue):
            values, factor = (values * factor).clip(0, 255), 1.0
        pixels = rows_of(image)
        if not (use_saturation or use_hue):
            return of_rows(cv2.LUT(pixels, values.round().astype(np.uint8)))
        saturation = _between(self.saturation, saturation) if use_saturation else 1.0
        turn = (2 * turn - 1) * self.hue if use_hue else 0.0
        made = np.empty_like(pixels)
        for top in range(0, len(pixels), _ROWS):
            strip = cv2.LUT(pixels[top : top + _ROWS], values)
            strip = recoloured(strip, saturation=saturation, turn=turn, value=factor)
            cv2.convertScaleAbs(strip, made[top : top + _ROWS])  # rounded, and at most 255
        return of_rows(made)


class ColorJitter:
    """Torchvision's: brightness, contrast and saturation by random factors, in random order.

    Args:
        brightness, contrast, saturation: factors come from 1 - value to 1 + value.
    """

    def __init__(
        self, *, brightness: Share = 0.5, contrast: Share = 0.5, saturation: Share = 0.5
    ) -> None:
        self._spans = (brightness, contrast, saturation)

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """The distorted image.

        Shapes: image (3, H, W) uint8 -> (3, H, W) uint8
        """
        steps = (adjust_brightness, adjust_contrast, adjust_saturation)
        draws = torch.rand(3, generator=generator).tolist()
        for index in torch.randperm(3, generator=generator).tolist():
            image = steps[index](image, 1 + (2 * draws[index] - 1) * self._spans[index])
        return image


def recoloured(
    pixels: NDArray[np.float32], *, saturation: float, turn: float, value: float = 1.0
) -> NDArray[np.float32]:
    """Pixels changed in HSV: saturation (at most 1) and value by factors, the hue by a turn.

    Values above 255 are left to the caller: a factor of all three channels is one of the value.

    Args:
        turn: in OpenCV's units of 180 to the circle, at most half of it to either side.

    Shapes: pixels (H, W, 3) in 0..255 -> the same
    """
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)  # in floating point: degrees, 0..1, 0..255
    forward = 2 * (turn % 180)  # beyond a circle it comes round, below none it does not
    change = np.array([[1, 0, 0, forward], [0, saturation, 0, 0], [0, 0, value, 0]])
    cv2.transform(hsv, change, hsv)
    if saturation > 1:
        cv2.min(hsv, (np.inf, 1.0, np.inf, 0.0), hsv)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, hsv)


def _between(bounds: tuple[float, ...], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share
