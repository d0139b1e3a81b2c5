"""Cityscapes' own scores: IoU and instance-weighted IoU, of classes and of their categories.

Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding" (CVPR 2016),
section 4.1: iIoU = iTP / (iTP + FP + iFN), where a labelled pixel counts by how much smaller its
instance is than the average one of its class. Equal to the official evaluator's metrics.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from segsuite.core.errors import DataError

PER_ID = 1000
"""Instance ids are id * 1000 + number, as in *_instanceIds.png."""


class CityscapesScores(NamedTuple):
    """Metrics over all pixels seen, float64; nan for what is neither labelled nor predicted.

    Attributes:
        iou, iiou: (K,), IoU and iIoU of each class; iIoU is nan for classes without instances.
        category_iou, category_iiou: (G,), IoU and iIoU of each category; the latter is nan where
            not all classes have instances.
        with_instances: whether instances were given; without them, both kinds of iIoU are nan.
    """

    iou: Tensor
    iiou: Tensor
    category_iou: Tensor
    category_iiou: Tensor
    with_instances: bool

    def summary(self) -> dict[str, Tensor]:
        """The means by the names under which they are logged."""
        means = {"class_iou": self.iou.nanmean(), "category_iou": self.category_iou.nanmean()}
        if self.with_instances:
            means["class_iiou"] = self.iiou.nanmean()
            means["category_iiou"] = self.category_iiou.nanmean()
        return means


class CityscapesIoU(Metric):
    """Cityscapes' scores over a data set, over any number of processes.

    Labels below zero are ignored. Predictions below zero are no class: they miss what is labelled,
    and are a false positive of nothing. Instances count wherever they are, labelled or not.

    Args:
        ids: (K,) the id of each class in instance ids.
        categories: (K,) the number of each class's category.
        sizes: (K,) mean number of pixels of an instance of each class; 0 for classes without
            instances.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(
        self, *, ids: Sequence[int], categories: Sequence[int], sizes: Sequence[float]
    ) -> None:
        super().__init__()
        classes, groups = len(ids), max(categories) + 1
        self.num_classes = classes
        numbers = torch.full((max(ids) + 1,), -1)
        numbers[torch.tensor(ids)] = torch.arange(classes)
        sizes = torch.tensor(sizes, dtype=torch.float64)
        numbers[torch.tensor(ids)[sizes == 0]] = -1  # what is not counted one by one
        category = torch.tensor(categories)
        member = category == torch.arange(groups)[:, None]
        self.register_buffer("_number", numbers, persistent=False)
        self.register_buffer("_size", sizes, persistent=False)
        self.register_buffer("_category", category, persistent=False)
        self.register_buffer("_member", member, persistent=False)
        # A class more for predictions that are none.
        counts = torch.zeros(classes, classes + 1, dtype=torch.int64)
        self.add_state("confusion", counts, dist_reduce_fx="sum")
        self.add_state("told", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        for name, length in (("found", classes), ("missed", classes)):
            self.add_state(name, torch.zeros(length, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("category_found", "category_missed"):
            self.add_state(name, torch.zeros(groups, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor, instances: Tensor | None = None) -> None:
        """Counts the pixels of one image; with instances, waits for the GPU.

        Shapes: predictions, labels, instances of any, but one, shape; int64, int64, int32

        Raises:
            DataError: instance ids that hold no class, being below 1000.
        """
        predictions, labels = predictions.flatten(), labels.flatten()
        labelled = labels >= 0
        width = self.num_classes + 1
        answers = torch.where(predictions < 0, self.num_classes, predictions)
        pairs = (labels * width + answers)[labelled]
        counts = torch.bincount(pairs, minlength=self.num_classes * width)
        self.confusion += counts.view(self.num_classes, width)
        if instances is not None:
            self.told += 1
            self._count_instances(predictions, instances.flatten())

    def _count_instances(self, predictions: Tensor, instances: Tensor) -> None:
        """Pixels of each instance that were found and missed, weighted by its size."""
        inside = instances != 0
        ids, place, pixels = instances[inside].unique(return_inverse=True, return_counts=True)
        if len(ids) and int(ids[0]) < PER_ID:
            raise DataError(
                f"the instance id {int(ids[0])} holds no class; Cityscapes' scores need ids that "
                "are class id * 1000 + number. Type data.instances=false to do without iIoU"
            )
        raw = (ids // PER_ID).long()
        known = raw < len(self._number)
        number = torch.where(known, self._number[raw.clamp(max=len(self._number) - 1)], -1)
        predicted = predictions[inside]
        counted = number >= 0
        number = number.clamp(min=0)
        hit = (predicted == number[place]).double()
        category = self._category[number]
        # An answer that is no class is of no category either.
        answered = torch.where(predicted < 0, -1, self._category[predicted.clamp(min=0)])
        near = (answered == category[place]).double()
        weight = counted * self._size[number] / pixels
        for at, right, matched, missed in (
            (number, hit, self.found, self.missed),
            (category, near, self.category_found, self.category_missed),
        ):
            inner = torch.zeros_like(weight).index_add_(0, place, right)
            matched.index_add_(0, at, inner * weight)
            missed.index_add_(0, at, (pixels - inner) * weight)

    def compute(self) -> CityscapesScores:
        """The metrics over everything counted so far."""
        counts = self.confusion.double()
        answers, member = counts[:, :-1], self._member.double()
        right = answers.diagonal()
        wrong = answers.sum(0) - right  # of each class, where another one is labelled
        grouped = member @ answers @ member.T
        group_right = grouped.diagonal()
        group_wrong = grouped.sum(0) - group_right
        category_labelled = member @ counts.sum(1)
        with_instances = int(self.told) > 0
        things = (self._size > 0) & with_instances
        all_things = (self._member <= things).all(1)
        nan = torch.nan
        return CityscapesScores(
            iou=right / (counts.sum(1) + wrong),
            iiou=torch.where(things, self.found / (self.found + self.missed + wrong), nan),
            category_iou=group_right / (category_labelled + group_wrong),
            category_iiou=torch.where(
                all_things,
                self.category_found / (self.category_found + self.category_missed + group_wrong),
                nan,
            ),
            with_instances=with_instances,
        )
