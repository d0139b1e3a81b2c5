"""Average precision of instances by Cityscapes' protocol: AP and AP at an IoU of 50 %.

Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding" (CVPR 2016),
section 4.2, with the rules of its official evaluator. Equal to its values.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from segsuite.core.errors import DataError, first_of
from segsuite.ops.overlaps import overlaps_of, sums_of

_THRESHOLDS = torch.from_numpy(np.arange(0.5, 1.0, 0.05))
"""As the official evaluator has them: the third is 0.6000000000000001."""
_RIGHT, _WRONG, _IGNORED = 2, 1, 0
"""What has become of a prediction."""


class InstanceScores(NamedTuple):
    """Metrics over all images seen, float64; nan for classes without instances.

    Attributes:
        ap: (K,), mean of the average precisions at IoU above 0.5, 0.55, ... 0.95 of each class.
        ap50: (K,), average precision at IoU above 0.5.
    """

    ap: Tensor
    ap50: Tensor

    def summary(self) -> dict[str, Tensor]:
        """The means over classes by the names under which they are logged."""
        return {"ap": self.ap.nanmean(), "ap50": self.ap50.nanmean()}


class _Truth(NamedTuple):
    """The instances and groups of an image, T of them.

    Attributes:
        keys: (T,) int64 in order, class * 2**32 + instance.
        area: (T,) int64, pixels.
        label: (T,) int64, the class.
        real: (T,) bool, whether it must be found.
        ignored: (T,) int64, how often its pixels count among what a prediction is excused for: a
            small group is counted as small and as a group, as in the official evaluator.
    """

    keys: Tensor
    area: Tensor
    label: Tensor
    real: Tensor
    ignored: Tensor

    def place(self, label: Tensor, instance: Tensor) -> Tensor:
        """The numbers of those of that class and instance."""
        return torch.searchsorted(self.keys, (label << 32) | instance)


class InstanceAP(Metric):
    """Cityscapes' instance AP over a data set, over any number of processes.

    - Instances of fewer than `min_pixels` pixels, groups (things without an instance) and what has
      no class need not be found; predictions that lie on them, by more than the threshold, are
      neither right nor wrong.
    - Of several predictions that match an instance the one with the highest score is right.

    Args:
        num_classes: K.
        things: numbers of the classes whose instances are evaluated; predictions of others are
            left out.
        min_pixels: of the smallest instance that must be found.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(self, *, num_classes: int, things: Collection[int], min_pixels: int = 100) -> None:
        super().__init__()
        self.num_classes, self.min_pixels = num_classes, min_pixels
        # One flat list, of the type in which torchmetrics gathers from a process that has nothing:
        # class, score, and what has become of it at each threshold, one prediction after the other.
        self.set_dtype(torch.float64)
        self.add_state("predicted", [], dist_reduce_fx="cat")
        counts = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("present", counts, dist_reduce_fx="sum")
        counted = torch.zeros(num_classes, dtype=torch.bool)
        counted[sorted(things)] = True
        self.register_buffer("_things", counted, persistent=False)

    def update(
        self,
        predicted_instances: Tensor,
        ids: Tensor,
        classes: Tensor,
        scores: Tensor,
        labels: Tensor,
        instances: Tensor,
    ) -> None:
        """Compares the instances of one image; waits for the GPU.

        As in the official evaluator, an instance whose class is not evaluated (Cityscapes' caravans
        and trailers: no class, but an instance) is a wrong place to predict something.

        Shapes: predicted_instances (H, W), or (L, H, W) where masks overlap; ids, classes, scores
            (N,); labels, instances (H, W)

        Args:
            predicted_instances: ids of predictions, 0 where there is none; in each of L layers
                others.
            ids: those of the predictions, above 0; those without a pixel are left out.
            scores: how sure each is, finite.

        Raises:
            DataError: an id in the map that `ids` lacks or has twice.
        """
        layers = predicted_instances.reshape(-1, labels.numel())
        if not len(layers):  # nothing is predicted
            layers = layers.new_zeros(1, labels.numel())
        parts = [overlaps_of(layer, labels, instances) for layer in layers]
        truth = self._truth(*parts[0])
        self.present += torch.bincount(truth.label[truth.real], minlength=self.num_classes)
        (found, label, instance), pixels = (
            torch.cat(both, -1) for both in zip(*parts, strict=True)
        )
        inside = found != 0
        found, label, instance, pixels = (v[inside] for v in (found, label, instance, pixels))
        number = _number(found, ids)
        nowhere = torch.zeros_like(ids, dtype=torch.int64)
        area = nowhere.index_add(0, number, pixels)
        void = nowhere.index_add(0, number, pixels * ((label < 0) & (instance == 0)))
        evaluated = (classes >= 0) & self._things[classes.clamp(min=0)]
        same = evaluated[number] & (label == classes[number])
        pairs, _, shared = sums_of(
            number[same] * len(truth.keys) + truth.place(label[same], instance[same]), pixels[same]
        )
        one, other = pairs // max(len(truth.keys), 1), pairs % max(len(truth.keys), 1)
        outcome = _outcomes(truth, area, void, scores, (one, other, shared))
        rows = torch.cat([torch.stack([classes, scores], 1).double(), outcome.double()], 1)
        self.predicted.append(rows[evaluated & (area > 0)].flatten())

    def _truth(self, columns: Tensor, pixels: Tensor) -> _Truth:
        """The instances and groups of an image, from its parts."""
        label, instance = columns[1:]
        thing = (label >= 0) & self._things[label.clamp(min=0)]
        keys, _, area = sums_of((label[thing] << 32) | instance[thing], pixels[thing])
        group, small = keys & 0xFFFFFFFF == 0, area < self.min_pixels
        return _Truth(keys, area, keys >> 32, ~group & ~small, group.long() + small.long())

    def compute(self) -> InstanceScores:
        """The metrics over everything counted so far."""
        parts = self.predicted if isinstance(self.predicted, list) else [self.predicted]
        flat = torch.cat([*parts, self._things.new_zeros(0, dtype=torch.float64)])
        rows = flat.view(-1, 2 + len(_THRESHOLDS))
        precisions = torch.full((self.num_classes, len(_THRESHOLDS)), torch.nan, dtype=rows.dtype)
        for label in self.present.nonzero().squeeze(1).tolist():
            of_class = rows[rows[:, 0] == label]
            for at, outcome in enumerate(of_class[:, 2:].T):
                told = outcome != _IGNORED
                precisions[label, at] = _average_precision(
                    of_class[told, 1], outcome[told] == _RIGHT, int(self.present[label])
                )
        precisions = precisions.to(rows.device)
        return InstanceScores(ap=precisions.mean(1), ap50=precisions[:, 0])


def _number(found: Tensor, ids: Tensor) -> Tensor:
    """The place of each found id among `ids`; raises DataError where there is none, or two."""
    order = ids.argsort()
    known = ids[order].long()
    place = torch.searchsorted(known, found)
    strange = found if not len(ids) else found[known[place.clamp(max=len(ids) - 1)] != found]
    twice = known[1:][known[1:] == known[:-1]]
    for those, what in ((strange, "are in the map of instances but not"), (twice, "are twice")):
        if len(those):
            shown = first_of([str(i) for i in those.unique().tolist()], shown=5)
            raise DataError(
                f"the ids {shown} of predicted instances {what} among those with scores"
            )
    return order[place]


def _outcomes(
    truth: _Truth, area: Tensor, void: Tensor, scores: Tensor, pairs: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """What has become of each prediction at each threshold.

    Shapes: area, void, scores (N,) -> (N, number of thresholds) int64

    Args:
        area, void: pixels of each prediction, and those of them on no class.
        pairs: a prediction and an instance of its class that share pixels, and how many: (P,) each.
    """
    one, other, shared = pairs
    thresholds = _THRESHOLDS.to(area.device)
    ignored = void.index_add(0, one, shared * truth.ignored[other])
    wrong = (ignored / area.clamp(min=1).double())[:, None] <= thresholds
    iou = shared / (area[one] + truth.area[other] - shared).double()
    hit = iou[:, None] > thresholds  # of each prediction one instance at most, and it is disjoint
    # Of the predictions of an instance the surest is right.
    rank = scores.argsort(descending=True, stable=True).argsort()[one, None]
    last = len(scores)
    best = torch.full((len(truth.keys), len(thresholds)), last, device=area.device)
    index = other[:, None].expand_as(hit)
    best.scatter_reduce_(0, index, torch.where(hit, rank, last), "amin")
    right = rank == best.gather(0, index)
    real = truth.real[other][:, None]
    became = torch.where(real, torch.where(right, _RIGHT, _WRONG), _IGNORED)
    hits, told = (
        torch.zeros_like(wrong, dtype=torch.int64).index_add(0, one, v)
        for v in (hit.long(), hit * became)
    )
    return torch.where(hits > 0, told, torch.where(wrong, _WRONG, _IGNORED))


def _average_precision(scores: Tensor, right: Tensor, instances: int) -> Tensor:
    """The area below the curve of precision over recall, in steps as the official evaluator's.

    Shapes: scores, right (N,) -> ()
    """
    steps, place = scores.unique(return_inverse=True)
    # Predictions with at least the score of each step.
    every, good = (
        torch.zeros_like(steps).index_add_(0, place, amount.to(steps)).flip(0).cumsum(0).flip(0)
        for amount in (torch.ones_like(right), right)
    )
    end = steps.new_tensor([0.0])
    recall = torch.cat([good / instances, end])
    bounds = torch.cat([recall[:1], recall, end])
    precision = torch.cat([good / every, end + 1])
    return (precision * (bounds[:-2] - bounds[2:]) / 2).sum()
