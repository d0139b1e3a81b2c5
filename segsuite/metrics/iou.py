"""Mean intersection over union and its kin, over a whole data set."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

SUMMARY = ("miou", "pacc", "macc", "fwiou", "baseline_miou")
"""The scores that are logged, by their names."""


class SegmentationScores(NamedTuple):
    """Metrics over all pixels seen; classes that neither appear nor are predicted count nowhere.

    Attributes:
        iou: (K,) float64, IoU of each class; nan for absent classes.
        accuracy: (K,) float64, the share of a class's pixels that were found; nan without pixels.
        pixels: (K,) int64, number of pixels of each class in the labels.
        miou: mean of `iou`.
        pacc: share of all pixels that are right.
        macc: mean of `accuracy`.
        fwiou: mean of `iou` weighted by how frequent a class is.
        baseline_miou: `miou` of always answering the commonest class.
    """

    iou: Tensor
    accuracy: Tensor
    pixels: Tensor
    miou: Tensor
    pacc: Tensor
    macc: Tensor
    fwiou: Tensor
    baseline_miou: Tensor

    def summary(self) -> dict[str, Tensor]:
        """The scalars by the names under which they are logged."""
        return {name: getattr(self, name) for name in SUMMARY}

    def group_mious(self, groups: Sequence[str]) -> dict[str, Tensor]:
        """`miou_<group>` of each group of classes, such as rare ones; nan where all are absent.

        Args:
            groups: one name per class; none at all for a table without groups.
        """
        return {
            f"miou_{group}": self.iou[
                [n for n, name in enumerate(groups) if name == group]
            ].nanmean()
            for group in dict.fromkeys(groups)
        }


class MeanIoU(Metric):
    """Scores over a data set, exact at any size and over any number of processes.

    Keeps three int64 counts per class (pixels labelled, predicted, and both), all that the metrics
    need: with 100,000 classes a confusion matrix would take 80 GB. Integer sums do not depend on
    their order, so that deterministic and distributed runs agree to the last bit, however unevenly
    images are spread over the processes.

    Labels below zero are ignored. Updates never wait for a GPU; that labels are below
    `num_classes` is checked where files are read.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        for name in ("labelled", "predicted", "both"):
            self.add_state(name, torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Counts pixels.

        Shapes: predictions and labels of any, but one, shape; int64.
        """
        # Half the memory traffic of int64, and two counts instead of three: faster than the one
        # bincount of a confusion matrix.
        predictions, labels = predictions.reshape(-1).int(), labels.reshape(-1).int()
        codes = (labels + 1) * 2 + (predictions == labels)
        missed, both = _occurrences(codes, 2 * self.num_classes + 2)[2:].view(-1, 2).unbind(1)
        answered = torch.where(labels < 0, 0, predictions + 1)
        self.labelled += missed + both
        self.predicted += _occurrences(answered, self.num_classes + 1)[1:]
        self.both += both

    def compute(self) -> SegmentationScores:
        """The metrics over everything counted so far."""
        labelled, both = self.labelled.double(), self.both.double()
        union = labelled + self.predicted.double() - both
        iou = both / union  # 0 / 0 is nan: an absent class
        accuracy = both / labelled
        total = labelled.sum()
        share = labelled / total
        present = (labelled > 0).sum()
        return SegmentationScores(
            iou=iou,
            accuracy=accuracy,
            pixels=self.labelled.clone(),
            miou=iou.nanmean(),
            pacc=both.sum() / total,
            macc=accuracy.nanmean(),
            fwiou=(share * iou).nansum() / share.sum(),
            # The commonest class scores its share of all pixels, other classes present score 0.
            baseline_miou=share.max() / present,
        )


def _occurrences(numbers: Tensor, count: int) -> Tensor:
    """(count,) int64: how often each of 0 .. count - 1 occurs."""
    if not numbers.is_cuda:
        return torch.bincount(numbers, minlength=count)
    # bincount would wait for the GPU to learn the largest number.
    index = numbers.long()
    zeros = torch.zeros(count, dtype=torch.int64, device=index.device)
    return zeros.scatter_add_(0, index, torch.ones_like(index))
