"""Slow, obvious forms of the data transforms."""

import colorsys

import numpy as np
import torch
from PIL import Image


def cropped_after_resizing(
    image: torch.Tensor, full: tuple[int, int], top: int, left: int, size: tuple[int, int]
) -> np.ndarray:
    """(h, w, 3): the whole image is resized, then cut."""
    stored = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    whole = np.array(stored.resize((full[1], full[0]), Image.Resampling.BILINEAR))
    return whole[top : top + size[0], left : left + size[1]]


def nearest_by_pil(
    ids: torch.Tensor, full: tuple[int, int], top: int, left: int, size: tuple[int, int]
) -> np.ndarray:
    """(h, w): labels resized by PIL's NEAREST, then cut."""
    whole = Image.fromarray(ids.numpy().astype(np.uint8)).resize(
        (full[1], full[0]), Image.Resampling.NEAREST
    )
    return np.array(whole)[top : top + size[0], left : left + size[1]]


def hsv_changed(rgb: tuple[float, float, float], factor: float, turn: float) -> list[float]:
    """One pixel through HSV and back: saturation times `factor`, hue turned by `turn` of 180."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in rgb))
    changed = colorsys.hsv_to_rgb((hue + turn / 180) % 1.0, min(saturation * factor, 1.0), value)
    return [255 * c for c in changed]


def distorted(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(3, H, W): mmseg's PhotoMetricDistortion, pixel by pixel, before it is rounded."""
    shift, contrast, saturation, turn, *coins = torch.rand(9, generator=generator).tolist()
    brighter, harder, richer, turned, before = (coin < 0.5 for coin in coins)
    pixels = []
    for pixel in image.reshape(3, -1).T.double().tolist():
        if brighter:
            pixel = [min(max(c - 32 + 64 * shift, 0), 255) for c in pixel]
        if harder and before:
            pixel = [min(c * (0.5 + contrast), 255) for c in pixel]
        if richer:
            pixel = hsv_changed(tuple(pixel), 0.5 + saturation, 0)
        if turned:
            pixel = hsv_changed(tuple(pixel), 1, 36 * turn - 18)
        if harder and not before:
            pixel = [min(c * (0.5 + contrast), 255) for c in pixel]
        pixels.append(pixel)
    return torch.tensor(pixels).T.reshape(image.shape)


def too_uniform(label: np.ndarray, cat_max_ratio: float, ignore: int) -> bool:
    """mmseg's test of a crop, class by class."""
    counts = {int(c): int((label == c).sum()) for c in np.unique(label) if c != ignore}
    return len(counts) < 2 or max(counts.values()) >= cat_max_ratio * sum(counts.values())
