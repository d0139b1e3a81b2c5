"""Random brightness, contrast, saturation and hue: as in mmseg, and as in torchvision."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torchvision.transforms.functional import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
)

from segsuite.core.hints import Between, Rising, Share

_Factors = Annotated[tuple[Annotated[float, Between(0)], Annotated[float, Between(0)]], Rising()]


@dataclass(frozen=True, kw_only=True)
class PhotometricDistortion:
    """Random brightness, contrast, saturation and hue, each with probability 1/2.

    The steps and ranges are mmseg's; contrast comes before or after the colours by a coin. Values
    stay real numbers until the end, where mmseg rounds to whole ones after every step.

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
        pixels = image.float()
        if use_shift:
            pixels = pixels.add_((2 * shift - 1) * self.brightness).clamp_(0, 255)
        contrast_first = coins[4] < 0.5
        if use_contrast and contrast_first:
            pixels = pixels.mul_(_between(self.contrast, contrast)).clamp_(0, 255)
        if use_saturation:
            pixels = saturated(pixels, _between(self.saturation, saturation))
        if use_hue:
            pixels = hue_turned(pixels, (2 * turn - 1) * self.hue)
        if use_contrast and not contrast_first:
            pixels = pixels.mul_(_between(self.contrast, contrast)).clamp_(0, 255)
        return pixels.round_().to(torch.uint8)


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


def saturated(pixels: Tensor, factor: float) -> Tensor:
    """Pixels whose saturation in HSV is `factor` times as high, at most 1.

    With value V = max and S = (max - min) / max, a pixel c becomes V - (V - c) * S' / S, so that
    nothing need be converted to HSV and back.

    Shapes: pixels (3, H, W) in 0..255 -> the same
    """
    value, chroma = _value_and_chroma(pixels)
    ratio = (value / chroma.clamp_(min=1e-6)).clamp_(max=factor)  # S' / S = min(factor, 1 / S)
    return (value - pixels).mul_(ratio).neg_().add_(value)


def hue_turned(pixels: Tensor, turn: float) -> Tensor:
    """Pixels whose hue in HSV is turned by `turn`, in OpenCV's units of 180 to the circle.

    Shapes: pixels (3, H, W) in 0..255 -> the same
    """
    value, chroma = _value_and_chroma(pixels)
    red, green, blue = pixels
    per_chroma = chroma.clamp(min=1e-6).reciprocal_()
    hue = torch.where(  # in sixths of the circle
        value == red,
        (green - blue) * per_chroma,
        torch.where(value == green, (blue - red) * per_chroma + 2, (red - green) * per_chroma + 4),
    ).add_(turn / 30)
    if abs(turn) > 60:  # beyond a third of the circle the way round it would be counted twice
        hue = hue.remainder_(6)
    # A channel is full within one sixth of its own hue and gone beyond two; the way round the
    # circle from hue h to p is 3 - | |h - p| - 3 |, since |h - p| is less than 6.
    primaries = hue.new_tensor([0.0, 2.0, 4.0]).view(3, 1, 1)
    missing = (hue - primaries).abs_().sub_(3).abs_().neg_().add_(2).clamp_(0, 1)
    return missing.mul_(chroma).neg_().add_(value)


def _value_and_chroma(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(H, W) largest channel, and how far the smallest is below it."""
    red, green, blue = pixels
    high = torch.maximum(torch.maximum(red, green), blue)  # six times as fast as amax(0)
    low = torch.minimum(torch.minimum(red, green), blue)
    return high, high - low


def _between(bounds: tuple[float, ...], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share
