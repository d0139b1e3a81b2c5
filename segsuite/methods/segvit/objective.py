"""What a SegViT with sharing and exits is trained for: masks, exits and a policy that learns."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.hints import NotNegative
from segsuite.core.idle import counts
from segsuite.core.labels import IGNORE
from segsuite.methods.segvit.exits import class_fractions, exit_loss
from segsuite.methods.segvit.losses import AtmCriterion
from segsuite.methods.segvit.network import SegVitOutput
from segsuite.methods.segvit.policy import window_labels
from segsuite.nn.class_weights import ClassWeights

_POLICY = {"method.sharing.policy": ("joint",)}
"""What losses of a policy count with: one that is trained with the network."""


@counts(policy_weight=_POLICY, ignore_border=_POLICY)
class SegVitObjective(nn.Module):
    """The sum of the attention-to-mask losses, the linear exits' and the policy's.

    Args:
        criterion: the losses of one or more attention-to-mask heads.
        exit_weight: weight of the linear exits' soft cross-entropy.
        policy_weight: weight of the policy's cross-entropy (CTS, section 3.3; the original trains
            it alone).
        ignore_border: whether windows on the border that mix one class with ignored pixels are left
            out, as the original does for ADE20K.
        class_weights: weights of the classes, see `nn.class_weights`; in the terms of classes and
            masks and in the exits'.
        dice: weight of the masks' Dice loss, in place of the criterion's.
    """

    def __init__(
        self,
        *,
        criterion: AtmCriterion,
        exit_weight: NotNegative = 1.0,
        policy_weight: NotNegative = 1.0,
        ignore_border: bool = False,
        class_weights: Sequence[float] | str | None = None,
        dice: NotNegative | None = None,
    ) -> None:
        super().__init__()
        self.criterion = criterion
        self.exit_weight, self.policy_weight = exit_weight, policy_weight
        self.ignore_border = ignore_border
        self.class_weights = ClassWeights(class_weights)
        if dice is not None:
            criterion.dice_weight = dice

    def forward(self, output: SegVitOutput, labels: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name.

        Shapes: labels (B, H, W) int64 with IGNORE, of the images' size
        """
        weights = self.class_weights.of(self.criterion.num_classes)
        losses = self.criterion(output.heads, labels, weights)
        seen = labels_as_seen(labels, output)
        if output.exits:
            patch, classes = output.trace.patch, output.exits[0].logits.shape[-1]
            fractions = class_fractions(seen, patch=patch, num_classes=classes)
            total = sum(exit_loss(e.logits, e.seen, fractions, weights) for e in output.exits)
            losses["exit"] = self.exit_weight * total
        if output.policy is not None:
            window = 2 * output.trace.patch
            targets = window_labels(seen, window=window, ignore_border=self.ignore_border)
            losses["policy"] = self.policy_weight * policy_loss(output.policy, targets)
        return losses


def labels_as_seen(labels: Tensor, output: SegVitOutput) -> Tensor:
    """The labels at the size that the network saw, by nearest pixels where it is a smaller one.

    Shapes: labels (B, H, W) int64 -> (B, rows * patch, columns * patch)
    """
    size = tuple(side * output.trace.patch for side in output.trace.grid)
    if labels.shape[-2:] == size:
        return labels
    smaller = F.interpolate(labels.unsqueeze(1).float(), size=size, mode="nearest-exact")
    return smaller.squeeze(1).long()


def policy_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Two-way cross-entropy over windows; 0 where all are ignored.

    Shapes: logits (B, 2, h, w), targets (B, h, w) int64 in {0, 1, IGNORE} -> scalar
    """
    total = F.cross_entropy(logits.float(), targets, ignore_index=IGNORE, reduction="sum")
    return total / (targets != IGNORE).sum().clamp(min=1)
