"""Images to calibrate with, and others to compare on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segsuite.core.errors import DataError
from segsuite.core.hints import Count
from segsuite.core.sizes import Size
from segsuite.measure.images import resized


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What int8 is calibrated with.

    Attributes:
        images: how many images of the training split.
        least: how few of them will do.
    """

    images: Count = 64
    least: Count = 16


def calibration_images(data: Any, *, count: int, least: int, size: Size) -> Tensor:
    """Training images as they are evaluated, evenly spread over the split.

    Augmented ones would widen the ranges beyond what the network will see.

    Shapes: -> (P, 3, *size) uint8, with P at most `count`

    Raises:
        DataError: there are fewer than `least`, or fewer that differ, which would leave ranges to
            chance.
    """
    samples = data.samples("train")
    number = min(count, len(samples))
    if number < least:
        what = f"calibration.images={count}" if count < least else f"{len(samples)} images"
        raise DataError(
            f"{what} are too few to calibrate int8 with: ranges of activations need {least} or "
            f"more; give more training images, or type calibration.least={max(number, 1)} to "
            "take the risk"
        )
    chosen = _chosen(samples, number, data.eval_transform, size)
    different = len({image.numpy().tobytes() for image in chosen})
    if different < least:
        raise DataError(
            f"of the {number} training images that int8 is to be calibrated with only {different} "
            f"differ, and ranges of activations need {least} or more; give other training "
            f"images, or type calibration.least={different} to take the risk"
        )
    return chosen


def other_images(data: Any, *, count: int, size: Size) -> Tensor:
    """Validation images, evenly spread: no export and no calibration has seen them.

    Shapes: -> (P, 3, *size) uint8
    """
    samples = data.samples("val")
    return _chosen(samples, min(count, len(samples)), data.eval_transform, size)


def _chosen(samples: Sequence[Any], count: int, transform: Any, size: Size) -> Tensor:
    step = len(samples) / count
    picked = (samples[int(number * step)] for number in range(count))
    return torch.stack([resized(transform(sample.image), size) for sample in picked])
