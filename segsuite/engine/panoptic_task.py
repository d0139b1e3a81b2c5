"""Panoptic segmentation: a class for each pixel, and things told apart."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.core.errors import ConfigError
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Batch
from segsuite.engine.callbacks.panels import Panel
from segsuite.engine.callbacks.panoptic_panels import heat_panel, offsets_panel, segments_panel
from segsuite.engine.evaluators import Evaluator
from segsuite.engine.inference.answers import Segments, panoptic_maps_of
from segsuite.engine.inference.framing import size_of
from segsuite.engine.panoptic_evaluator import PanopticEvaluator
from segsuite.engine.task import SegmentationTask
from segsuite.nn.grouping import Grouping, PanopticMap
from segsuite.nn.panoptic import PanopticSegmenter


class PanopticTask(SegmentationTask):
    """Trains and scores a `PanopticSegmenter`; the headline is panoptic quality.

    Args:
        grouping: makes panoptic maps of what the network says.
        evaluator: makes the evaluator of `classes`; None is `PanopticEvaluator`.

    Raises:
        ConfigError: the classes have no things.
    """

    needs_instances = True

    @with_arguments_of(SegmentationTask)
    def __init__(
        self,
        *,
        network: PanopticSegmenter,
        classes: ClassTable,
        grouping: Grouping,
        evaluator: Callable[..., Evaluator] | None = None,
        **common: Any,
    ) -> None:
        scores = evaluator or PanopticEvaluator
        super().__init__(network=network, classes=classes, evaluator=scores, **common)
        if not classes.things:
            raise ConfigError(
                "a panoptic task needs classes that are things, which are counted one by one, but "
                "data.classes has none; say `thing: true` of them in the class table, or choose "
                "another data set, such as data=cityscapes"
            )
        self.grouping, self.things = grouping, sorted(classes.things)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses by name, already weighted: their sum is what is minimised."""
        output = self.network(self.seen(batch))
        taught = self.distillation.losses(self.network, output, batch)
        own = self.loss(output, batch["label"], batch["instances"], self.things)
        return {**own, **taught}

    def predictions(self, batch: Batch) -> list[PanopticMap]:
        """What is said of each image of an evaluation batch, at its labels' size."""
        sizes = [tuple(label.shape[-2:]) for label in batch["label"]]
        kinds = {"grouping": self.grouping, "things": self.things, "inference": self.inference}
        return panoptic_maps_of(self.network, batch["image"], sizes, **kinds)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Sequence[Any]]:
        """`labels` (H, W), `segments` and `predictions`, a `PanopticMap`, of each image."""
        predictions = self.predictions(batch)
        self.evaluator.update(predictions, batch)
        return {
            "labels": [one.semantic for one in predictions],
            "segments": [Segments.of(one) for one in predictions],
            "predictions": predictions,
        }

    def panels(self, batch: Batch) -> list[Panel]:
        """Segments of truth and prediction, the heat of centres and the offsets to them."""
        image, size = batch["image"][0], tuple(batch["label"][0].shape[-2:])
        with torch.no_grad():
            (evidence,) = self.inference.evidence(self.network, [image], [size])
            found = self.grouping(evidence, self.things, seen=size_of(image))
        truth, instances = batch["label"][0].cpu(), batch["instances"][0].cpu()
        labels, heat = found.labels.cpu(), evidence[-3].cpu()
        in_things = torch.isin(found.semantic.cpu(), torch.tensor(self.things))
        colors = self.classes.colors
        return [
            segments_panel("segments: truth", truth, instances, colors),
            segments_panel("segments: prediction", labels, found.instances.cpu(), colors),
            heat_panel("heat of centres", heat),
            offsets_panel("offsets", evidence[-2:].cpu(), in_things),
        ]
