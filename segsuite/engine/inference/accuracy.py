"""mIoU of trained networks, to stand beside their speed: on the same data, at the same size."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segsuite.core.checkpoint import read_checkpoint
from segsuite.core.sizes import Size
from segsuite.engine.inference.candidates import Candidate
from segsuite.engine.launch.rebuild import classes_of
from segsuite.measure.images import resized


@dataclass(frozen=True)
class Accuracy:
    """What a trained network reaches on validation images.

    Attributes:
        miou: between 0 and 1; None where no pixel has a class.
        images, of: how many were scored, and how many the split has.
    """

    miou: float | None
    images: int
    of: int


def miou(
    labels: Callable[[Tensor, Size], Tensor],
    data: Any,
    *,
    size: Size,
    num_classes: int,
    images: int | None = None,
) -> Accuracy:
    """Over the whole validation split, or so many of its images, evenly spread.

    Args:
        labels: gives class ids (1, H, W) for an image (1, 3, *size) and the size of its labels.
    """
    # Here, since torchmetrics takes seconds, and probes start processes of their own.
    from segsuite.metrics.iou import MeanIoU

    metric, samples = MeanIoU(num_classes=num_classes), data.samples("val")
    count = len(samples) if images is None else min(images, len(samples))
    with torch.inference_mode():
        for number in range(count):
            sample = samples[number * len(samples) // count]
            image = resized(data.eval_transform(sample.image), size)
            predicted = labels(image[None], tuple(sample.label.shape))
            metric.update(predicted[0], sample.label.long())
    reached = float(metric.compute().miou)
    return Accuracy(reached if reached == reached else None, count, len(samples))


def accuracies(
    candidates: Sequence[Candidate],
    data: Any,
    *,
    size: Size,
    images: int | None,
    precision: AbstractContextManager[Any],
    tell: Callable[[str], None],
) -> tuple[dict[str, Accuracy], list[str]]:
    """Of the trained networks by name, and what is to be said of those that cannot be scored."""
    scores, notes = {}, []
    with precision:
        for candidate in candidates:
            if candidate.path is None:
                continue
            trained_for = classes_of(read_checkpoint(candidate.path), candidate.path)
            if trained_for.names != data.classes.names:
                notes.append(
                    f"{candidate.name}: no mIoU, since it was trained for other classes than "
                    "those of the data"
                )
                continue
            tell(f"measuring the mIoU of {candidate.name}")
            scores[candidate.name] = miou(
                _labelling(candidate),
                data,
                size=size,
                num_classes=candidate.network.num_classes,
                images=images,
            )
    return scores, notes


def _labelling(candidate: Candidate) -> Callable[[Tensor, Size], Tensor]:
    network = candidate.network
    device = next(network.parameters()).device
    return lambda image, size: network.predict(image.to(device)).labels(size).cpu()


def percent(accuracy: Accuracy | None) -> str:
    """As tables show it."""
    return "–" if accuracy is None or accuracy.miou is None else f"{100 * accuracy.miou:.2f}"


def scored_on(accuracy: Accuracy, size: Size) -> str:
    """What the metric is of."""
    some, all_ = accuracy.images, accuracy.of
    count = f"all {all_}" if some == all_ else f"{some} of {all_}"
    return f"on {count} validation images, stretched to {size[0]}x{size[1]}"
