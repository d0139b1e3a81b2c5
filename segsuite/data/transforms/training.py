"""The training transform of mmseg: scale, crop, flip, distort, pad, in that order."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segsuite.core.hints import Between, Falling, Pixels, Positive, Rising, Share, Sides
from segsuite.core.labels import IGNORE
from segsuite.core.sizes import Size
from segsuite.data.samples import Sample
from segsuite.data.transforms.geometry import Window, fitted, resized_crop, resized_ids
from segsuite.data.transforms.pixels import of_rows, planes, rows_of

_REDRAWS = 10

_Byte = Annotated[int, Between(0, 255)]

Photometric = Callable[[Tensor, torch.Generator], Tensor]
"""Changes the colours of a (3, H, W) uint8 image; all that is random comes from the generator."""


@dataclass(kw_only=True, eq=False)
class ScaleCropFlip:
    """A random crop of the randomly scaled image, flipped by a coin and distorted in colour.

    Only the crop is resized, never the whole image.

    Attributes:
        crop_size: (height, width) of what comes out; smaller images are padded bottom and right.
        ratio_range: least and largest scale.
        ratio_step: scales are drawn among the least, that plus the step, and so on up to the most;
            None for any.
        fit: (long, short) side that the image is fitted in at scale 1; None for its own size.
        longest: the longer side of the scaled image is at most this, at every scale, and its shape
            is kept; None for no limit.
        warp: (height, width) that the image is stretched to at scale 1, instead.
        cat_max_ratio: a crop is drawn again, up to ten times, while one class covers this share of
            its labelled pixels or more, or is the only one.
        flip: probability of a mirror image.
        photometric: the change of colours; None for none.
        pad_value: RGB of the padding (mmseg pads with 0 after normalisation, its mean grey).
    """

    crop_size: Sides
    ratio_range: Annotated[tuple[Positive, Positive], Rising()] = (0.5, 2.0)
    ratio_step: Positive | None = None
    fit: Annotated[tuple[Pixels, Pixels], Falling()] | None = None
    longest: Pixels | None = None
    warp: Sides | None = None
    cat_max_ratio: Positive = 0.75
    flip: Share = 0.5
    photometric: Photometric | None = None
    pad_value: tuple[_Byte, _Byte, _Byte] = (127, 127, 127)

    def __post_init__(self) -> None:
        self.crop_size = tuple(self.crop_size)  # a config's is a list

    def __call__(self, sample: Sample, generator: torch.Generator) -> Sample:
        """A sample of exactly `crop_size`.

        All that is random comes from `generator`.
        """
        scaled = self._scaled_size(tuple(sample.label.shape), generator)
        window, label = self._crop(sample.label, scaled, generator)
        image = resized_crop(sample.image, window)
        instances = sample.instances
        if instances is not None:
            instances = resized_ids(instances, window)
        if _uniform(generator) < self.flip:
            image, label = image.flip(-1), label.flip(-1)
            instances = None if instances is None else instances.flip(-1)
        if self.photometric is not None:
            image = self.photometric(image, generator)
        return replace(
            sample,
            image=self._padded_image(image),
            label=_padded(label, self.crop_size, IGNORE),
            instances=None if instances is None else _padded(instances, self.crop_size, 0),
        )

    def _scaled_size(self, size: Size, generator: torch.Generator) -> Size:
        low, high = self.ratio_range
        share = _uniform(generator)
        if self.ratio_step is None:
            ratio = low + (high - low) * share
        else:
            choices = int((high - low) / self.ratio_step + 1e-6) + 1  # 0.3 / 0.1 is below 3
            ratio = low + self.ratio_step * int(share * choices)
        longest = math.inf if self.longest is None else self.longest
        if self.warp is not None:
            ratio = min(ratio, longest / max(self.warp))
            return max(round(self.warp[0] * ratio), 1), max(round(self.warp[1] * ratio), 1)
        long, short = self.fit or (max(size), min(size))
        return fitted(size, min(long * ratio, longest), short * ratio)

    def _crop(self, label: Tensor, full: Size, generator: torch.Generator) -> tuple[Window, Tensor]:
        """The window that is varied enough, or the last that was drawn, and its labels."""
        size = (min(self.crop_size[0], full[0]), min(self.crop_size[1], full[1]))
        for redraw in range(_REDRAWS + 1):
            shares = torch.rand(2, generator=generator).tolist()
            top, left = (int(s * (f - c + 1)) for s, f, c in zip(shares, full, size, strict=True))
            window = Window(top, left, size, full)
            crop = resized_ids(label, window)
            # As in mmseg, the crop drawn after the tenth refusal is taken as it is.
            if self.cat_max_ratio >= 1 or redraw == _REDRAWS or self._is_varied(crop):
                break
        return window, crop

    def _is_varied(self, label: Tensor) -> bool:
        counts = _pixels_of_classes(label)
        return np.count_nonzero(counts) > 1 and counts.max() < self.cat_max_ratio * counts.sum()

    def _padded_image(self, image: Tensor) -> Tensor:
        down, right = (c - s for c, s in zip(self.crop_size, image.shape[-2:], strict=True))
        if down or right:
            border = (0, down, 0, right, cv2.BORDER_CONSTANT)
            image = of_rows(cv2.copyMakeBorder(rows_of(image), *border, value=self.pad_value))
        return planes(image)


def _pixels_of_classes(label: Tensor) -> NDArray[Any]:
    """Of each class up to the highest that occurs, at least one; IGNORE is none of them.

    Shapes: label (H, W) int16 or int32 -> (classes,)
    """
    if label.dtype != torch.int16:
        return torch.bincount(label.flatten() + 1, minlength=2).numpy()[1:]
    classes = max(int(label.max()) + 1, 1)
    ids = label.numpy().view(np.uint16)  # IGNORE, -1, is beyond all classes
    # Three times as fast as torch's; exact, being counted in float32, up to 2**24 pixels.
    return cv2.calcHist([ids], [0], None, [classes], [0, classes]).ravel()


def _padded(ids: Tensor, size: Size, value: int) -> Tensor:
    """(H, W) ids, padded bottom and right."""
    down, right = size[0] - ids.shape[0], size[1] - ids.shape[1]
    return F.pad(ids, (0, right, 0, down), value=value) if down or right else ids


def _uniform(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator).item()
