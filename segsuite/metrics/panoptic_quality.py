"""Panoptic quality: how well segments are found, of things that are counted and of stuff.

Source: Kirillov et al., "Panoptic Segmentation" (CVPR 2019), section 4, with the rules of its
official evaluator for pixels without a class and for crowds. torchmetrics' metric of this name
differs from both where predictions leave pixels without a class, and knows no crowds.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from segsuite.ops.overlaps import overlaps_of, sums_of


class PanopticScores(NamedTuple):
    """Metrics over all images seen, float64; nan for classes that are neither there nor predicted.

    Attributes:
        pq, sq, rq: (K,), panoptic, segmentation and recognition quality of each class.
        things: (K,) bool, whether a class is counted.
        tp, fp, fn: (K,) int64, segments that were found, made up and missed.
    """

    pq: Tensor
    sq: Tensor
    rq: Tensor
    things: Tensor
    tp: Tensor
    fp: Tensor
    fn: Tensor

    def summary(self) -> dict[str, Tensor]:
        """The means by the names under which they are logged; nan over no class."""
        groups = {"": torch.ones_like(self.things), "_things": self.things, "_stuff": ~self.things}
        return {
            f"{name}{group}": getattr(self, name)[members].nanmean()
            for group, members in groups.items()
            for name in ("pq", "sq", "rq")
        }


class _Segments(NamedTuple):
    """The segments of one map, S of them, void being one.

    Attributes:
        place: (N,) int64, the segment that each of the parts of an image belongs to.
        label: (S,) int64, the class of each segment, -1 for void.
        area: (S,) int64, pixels.
        crowd: (S,) bool.
    """

    place: Tensor
    label: Tensor
    area: Tensor
    crowd: Tensor

    def sums(self, segment: Tensor, amounts: Tensor) -> Tensor:
        """(S,) int64: the sum of what belongs to each segment."""
        return torch.zeros_like(self.area).index_add_(0, segment, amounts.long())


class PanopticQuality(Metric):
    """Panoptic quality over a data set, over any number of processes.

    A segment is an instance of a thing, or all pixels of a stuff class. Segments of one class match
    where their intersection is more than half of their union.

    - Pixels labelled below zero leave the union; pixels predicted below zero stay in it.
    - Things labelled without an instance are crowds, one for each class and image: nobody misses
      them. (Of several crowds of a class in an image the official evaluator looks at the last one
      alone; official data sets have one at most.)
    - Predictions that match nothing are no false positives where more than half of them is on
      pixels without a class or on the crowd of their class.

    Args:
        num_classes: K.
        things: numbers of the classes whose instances are counted.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(self, *, num_classes: int, things: Collection[int]) -> None:
        super().__init__()
        self.num_classes = num_classes
        counted = torch.zeros(num_classes, dtype=torch.bool)
        counted[sorted(things)] = True
        self.register_buffer("_things", counted, persistent=False)
        zeros = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("iou", zeros.double(), dist_reduce_fx="sum")
        for name in ("tp", "fp", "fn"):
            self.add_state(name, zeros.clone(), dist_reduce_fx="sum")

    def update(
        self, predictions: Tensor, predicted_instances: Tensor, labels: Tensor, instances: Tensor
    ) -> None:
        """Counts the segments of one image; waits for the GPU.

        Instances count in things alone; things predicted without an instance are no prediction.

        Shapes: all of any, but one, shape; integers, instances of 0 to 2**32 - 1
        """
        maps = (predictions, predicted_instances, labels, instances)
        (answer, answered, label, instance), pixels = overlaps_of(*maps)
        alone = self._is_thing(answer) & (answered == 0)
        found = self._segments(torch.where(alone, -1, answer), answered, pixels)
        truth = self._segments(label, instance, pixels)
        self._count(found, truth, pixels)

    def _is_thing(self, labels: Tensor) -> Tensor:
        return (labels >= 0) & self._things[labels.clamp(min=0)]

    def _segments(self, label: Tensor, instance: Tensor, pixels: Tensor) -> _Segments:
        """Those among the parts of an image that each belong to one."""
        instance = torch.where(self._is_thing(label), instance, 0)
        keys, place, area = sums_of((label.clamp(min=-1) << 32) | instance, pixels)
        of = keys >> 32
        return _Segments(place, of, area, self._is_thing(of) & (keys & 0xFFFFFFFF == 0))

    def _count(self, found: _Segments, truth: _Segments, pixels: Tensor) -> None:
        pairs, _, shared = sums_of(found.place * len(truth.label) + truth.place, pixels)
        one, other = pairs // len(truth.label), pairs % len(truth.label)
        answer, label = found.label[one], truth.label[other]
        same = (answer == label) & (label >= 0)
        crowd = same & truth.crowd[other]
        void = found.sums(one, shared * (label < 0))
        excused = void + found.sums(one, shared * crowd)
        union = (found.area - void)[one] + truth.area[other] - shared
        match = same & ~crowd & (2 * shared > union)
        wrong = (found.sums(one, match) == 0) & (2 * excused <= found.area)
        missed = (truth.sums(other, match) == 0) & ~truth.crowd
        for state, of, amount in (
            (self.iou, label, torch.where(match, shared / union.double(), 0)),
            (self.tp, label, match),
            (self.fp, found.label, wrong),
            (self.fn, truth.label, missed),
        ):
            counted = (of >= 0) * amount
            state.index_add_(0, of.clamp(min=0), counted.to(state.dtype))

    def compute(self) -> PanopticScores:
        """The metrics over everything counted so far."""
        weight = self.tp + 0.5 * (self.fp + self.fn).double()  # 0 / 0 is nan: an absent class
        found = self.iou / self.tp.clamp(min=1)
        return PanopticScores(
            pq=self.iou / weight,
            sq=torch.where(weight > 0, found, torch.nan),
            rq=self.tp / weight,
            things=self._things.clone(),
            tp=self.tp.clone(),
            fp=self.fp.clone(),
            fn=self.fn.clone(),
        )
