"""The loss of attention-to-mask heads: query c is class c, no matching (SegViT, section 3.3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.hints import Count
from segsuite.core.labels import IGNORE
from segsuite.methods.segvit.head import AtmOutput
from segsuite.methods.segvit.mask_losses import mask_losses
from segsuite.ops.class_weighting import mean_of
from segsuite.ops.precision import full


class AtmCriterion(nn.Module):
    """Presence of classes, and the masks of those present.

    Args:
        num_classes: number of classes, K.
        class_weight, focal_weight, dice_weight: weights of the three terms.
        no_object: weight of absent classes in the presence term.
        mask_ignore: whether ignored pixels are left out of the masks; the original counts them as
            background.
        label_stride: the masks are compared on every n-th label pixel of both axes. 1 is the
            original; more is a departure that makes training on a CPU cheaper.
    """

    def __init__(
        self,
        *,
        num_classes: Count,
        class_weight: float = 1.0,
        focal_weight: float = 20.0,
        dice_weight: float = 1.0,
        no_object: float = 0.1,
        mask_ignore: bool = False,
        label_stride: Count = 1,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_weight = class_weight
        self.focal_weight = focal_weight
        self.dice_weight = dice_weight
        self.no_object = no_object
        self.mask_ignore = mask_ignore
        self.label_stride = label_stride

    def forward(
        self, outputs: Sequence[AtmOutput], labels: Tensor, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The weighted terms "class", "focal" and "dice", each summed over the outputs.

        Args:
            weights: weights of the classes, in all three terms: means become weighted ones. A class
                that is absent counts by `no_object`, as in cross-entropy each target by its own
                weight.

        Shapes: masks of the outputs (B, K, gh, gw), labels (B, H, W) with IGNORE, weights (K,)
            -> scalars
        """
        present = present_classes(labels, self.num_classes)
        focal, dice = mask_losses(
            torch.stack([output.masks for output in outputs]),
            labels,
            present,
            stride=self.label_stride,
            leave_ignored=self.mask_ignore,
            weights=weights,
        )
        counted = present if weights is None else present * weights
        masks = _mean_over_processes(counted.sum())
        masks = masks.clamp(min=1) if weights is None else masks
        presence = sum(presence_loss(o.classes, present, self.no_object, weights) for o in outputs)
        return {
            "class": self.class_weight * presence,
            "focal": self.focal_weight * mean_of(focal.sum(), masks),
            "dice": self.dice_weight * mean_of(dice.sum(), masks),
        }


def present_classes(labels: Tensor, num_classes: int) -> Tensor:
    """(B, K) bool: which classes each image's labels hold.

    Shapes: labels (B, H, W) int64 with IGNORE
    """
    seen = labels.new_zeros((labels.shape[0], num_classes + 1), dtype=torch.bool)
    seen.scatter_(1, labels.flatten(1) - IGNORE, True)  # IGNORE is -1: its column is the first
    return seen[:, 1:]


def presence_loss(
    classes: Tensor, present: Tensor, no_object: float, weights: Tensor | None = None
) -> Tensor:
    """Weighted cross-entropy of query c being class c where present, and no object where absent.

    Args:
        weights: weights of the classes where they are present; 1 when None.

    Shapes: classes (B, K, 2) or (B, K, K + 1), present (B, K) bool, weights (K,) -> scalar
    """
    classes = full(classes)
    outcomes = classes.shape[-1]
    index = torch.arange(present.shape[1], device=classes.device)
    own = index if outcomes == present.shape[1] + 1 else torch.zeros_like(index)
    target = torch.where(present, own, outcomes - 1)
    if weights is not None:
        each = F.cross_entropy(classes.flatten(0, 1), target.flatten(), reduction="none")
        own = weights.to(each.dtype).expand(present.shape)
        own = torch.where(present, own, own.new_full((), no_object)).flatten()
        return mean_of((each * own).sum(), own.sum())
    weight = classes.new_ones(outcomes)
    weight[-1] = no_object
    return F.cross_entropy(classes.flatten(0, 1), target.flatten(), weight)


def _mean_over_processes(count: Tensor) -> Tensor:
    """The mean of a count over all training processes."""
    count = count.float()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(count)
        count = count / torch.distributed.get_world_size()
    return count
