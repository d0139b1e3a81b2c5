"""mIoU of an exported file on the validation set."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from segsuite.bench.pictures import resized
from segsuite.core.sizes import Size
from segsuite.metrics.iou import MeanIoU


def miou(
    labels: Callable[[Tensor, Size], Tensor],
    data: Any,
    *,
    size: Size,
    num_classes: int,
    pictures: int | None = None,
) -> float:
    """Over the whole validation split, or its first pictures; between 0 and 1.

    Args:
        labels: a picture (1, 3, *size) and the size of its labels -> (1, H, W) class ids.
    """
    metric, samples = MeanIoU(num_classes=num_classes), data.samples("val")
    count = len(samples) if pictures is None else min(pictures, len(samples))
    with torch.inference_mode():
        for index in range(count):
            sample = samples[index]
            picture = resized(data.eval_transform(sample.image), size)
            found = labels(picture[None], tuple(sample.label.shape))
            metric.update(found[0], sample.label.long())
    return float(metric.compute().miou)
