"""How good trained networks are, to stand beside their speed: on the same data, at one size."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.engine.inference.candidates import Candidate
from segsuite.measure.images import resized
from segsuite.nn.panoptic import PanopticSegmenter
from segsuite.nn.segmenter import Segmenter

if TYPE_CHECKING:
    from segsuite.engine.evaluators import Evaluator


@dataclass(frozen=True)
class Accuracy:
    """What a trained network reaches on validation images.

    Attributes:
        value: the headline metric of its task, of a panoptic one that of its labels alone; None
            where it is undefined, as without any label.
        images, of: how many were scored, and how many the split has.
        metric: name of that metric.
    """

    value: float | None
    images: int
    of: int
    metric: str = "miou"

    @property
    def title(self) -> str:
        """The metric's name for people."""
        return "mIoU" if self.metric == "miou" else self.metric

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        return f"{100 * self.value:.2f}" if self.metric == "miou" else f"{self.value:.4g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {self.metric: self.value, "images": self.images, "of": self.of}


def evaluator_of(
    load: Callable[[], Any] | None, classes: ClassTable, network: Segmenter | None
) -> "Evaluator":
    """What scores labels: made as their task's config says, or else what a semantic task has.

    Args:
        load: gives what stands at `method.task.evaluator`, built, which takes `classes`; or None.
        network: whose labels are scored; None for a file's. That of a panoptic task does not score
            labels, but panoptic maps: of such a network it is what a semantic task has.
    """
    # Here, since torchmetrics takes seconds, and probes start processes of their own.
    from segsuite.engine.evaluators import SemanticEvaluator

    make = None if load is None or isinstance(network, PanopticSegmenter) else load()
    return (make or SemanticEvaluator)(classes=classes)


def accuracy(
    labels: Callable[[Tensor, Size], Tensor],
    data: Any,
    *,
    size: Size,
    evaluator: "Evaluator",
    images: int | None = None,
    split: str = "val",
) -> Accuracy:
    """Over the whole split, or so many of its images, evenly spread.

    Args:
        labels: gives class ids (1, H, W) for an image (1, 3, *size) and the size of its labels.
    """
    samples = data.samples(split)
    count = len(samples) if images is None else min(images, len(samples))
    evaluator.reset()
    with torch.inference_mode():
        for number in range(count):
            sample = samples[number * len(samples) // count]
            image = resized(data.eval_transform(sample.image), size)
            predicted = labels(image[None], tuple(sample.label.shape))
            evaluator.update([predicted[0]], {"label": [sample.label.long()]})
    reached = float(evaluator.compute()[evaluator.headline])
    value = reached if reached == reached else None
    return Accuracy(value, count, len(samples), evaluator.headline)


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
            if not candidate.trained or (trained_for := candidate.classes) is None:
                continue
            if trained_for.names != data.classes.names:
                notes.append(
                    f"{candidate.name}: no mIoU, since it was trained for other classes than "
                    "those of the data"
                )
                continue
            evaluator = evaluator_of(candidate.evaluator, data.classes, candidate.network)
            tell(f"measuring the accuracy of {candidate.name}")
            scores[candidate.name] = accuracy(
                candidate.labels, data, size=size, evaluator=evaluator, images=images
            )
    return scores, notes


def scored_on(scored: Accuracy, size: Size) -> str:
    """Which images the metric was measured on, in words."""
    some, all_ = scored.images, scored.of
    count = f"all {all_}" if some == all_ else f"{some} of {all_}"
    return f"on {count} validation images, stretched to {size[0]}x{size[1]}"
