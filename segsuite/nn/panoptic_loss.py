"""The losses of a panoptic network: classes, centres, offsets.

Panoptic-DeepLab (Cheng et al., CVPR 2020), section 3.2, with the weights that HyCTAS has.
"""

from collections.abc import Collection, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.hints import Between, NotNegative, Positive
from segsuite.core.idle import counts
from segsuite.core.labels import IGNORE
from segsuite.nn.class_weights import ClassWeights
from segsuite.nn.dense_losses import HardPixels, dice_loss
from segsuite.nn.panoptic import PanopticOutput, PanopticPrediction
from segsuite.ops.bilinear import resized
from segsuite.ops.class_weighting import counted, mean_of
from segsuite.ops.panoptic_targets import PanopticTargets, panoptic_targets
from segsuite.ops.precision import full


@counts(ohem_kept={"ohem": ()})
class PanopticLoss(nn.Module):
    """Cross-entropy of the classes, squared error of the centres' heat, distance of the offsets.

    Args:
        class_weights: weights of the classes, see `nn.class_weights`.
        dice: weight of the Dice loss of the classes beside it.
        ohem: probability of its class below which a pixel is learnt from; None for all pixels. As
            in the original, pixels are compared by their weighted losses, so that this probability
            is exp(-loss), lower for small instances and for classes that weigh more.
        ohem_kept: share of a batch's labelled pixels, the hardest, that is learnt from at least;
            detectron2's is of all pixels. With an `ohem` that no pixel is below it is that share
            alone, 0.2 for Cityscapes.
        centre: weight of the heat's squared error.
        offset: weight of the offsets' absolute error in pixels.
        auxiliary: weight of the auxiliary heads' losses.
        sigma: standard deviation of the heat around a centre, in pixels.
        small_area: number of pixels below which an instance is small.
        small_weight: weight of the labels of small instances.
    """

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | str | None = None,
        dice: NotNegative = 0.0,
        ohem: float | None = None,
        ohem_kept: float = 0.2,
        centre: NotNegative = 200.0,
        offset: NotNegative = 0.01,
        auxiliary: NotNegative = 0.2,
        sigma: Annotated[int, Between(1)] = 10,
        small_area: Annotated[int, Between(0)] = 4096,
        small_weight: Positive = 3.0,
    ) -> None:
        super().__init__()
        self.class_weights, self.dice = ClassWeights(class_weights), dice
        self.hard = HardPixels(ohem, ohem_kept)
        self.centre, self.offset, self.auxiliary = centre, offset, auxiliary
        self.sigma, self.small_area, self.small_weight = sigma, small_area, small_weight

    def forward(
        self, output: PanopticOutput, labels: Tensor, instances: Tensor, things: Collection[int]
    ) -> dict[str, Tensor]:
        """`ce`, `centre` and `offset`, and `auxiliary` where there are such heads.

        Shapes: labels (B, H, W) int64 with IGNORE, instances (B, H, W) int32, 0 where there is none

        Args:
            things: class numbers of things.
        """
        targets = panoptic_targets(
            labels,
            instances,
            things=things,
            sigma=self.sigma,
            small_area=self.small_area,
            small_weight=self.small_weight,
        )
        losses = self._of(output.main, labels, targets)
        beside = [
            each for one in output.auxiliary for each in self._of(one, labels, targets).values()
        ]
        if beside:
            losses["auxiliary"] = self.auxiliary * torch.stack(beside).sum()
        return losses

    def _of(
        self, answer: PanopticPrediction, labels: Tensor, targets: PanopticTargets
    ) -> dict[str, Tensor]:
        size = (labels.shape[1], labels.shape[2])
        places = full(resized(answer.places, size))
        heat = (places[:, :1] - targets.heat).square() * targets.centre_weight
        offsets = (places[:, 1:] - targets.offsets).abs() * targets.offset_weight
        return {
            **self._classes(full(answer.scores(size)), labels, targets.semantic_weight),
            "centre": self.centre * mean_of(heat.sum(), targets.centre_weight.sum()),
            "offset": self.offset * mean_of(offsets.sum(), targets.offset_weight.sum()),
        }

    def _classes(self, scores: Tensor, labels: Tensor, weight: Tensor) -> dict[str, Tensor]:
        own = self.class_weights.of(scores.shape[1])
        each = F.cross_entropy(scores, labels, own, ignore_index=IGNORE, reduction="none") * weight
        learnt = self.hard.labels(each.detach(), labels) if self.hard else labels
        losses = {"ce": mean_of((each * (learnt != IGNORE)).sum(), counted(learnt, own))}
        if self.dice:
            losses["dice"] = self.dice * dice_loss(scores, labels, own)
        return losses
