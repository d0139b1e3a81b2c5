"""Cross-entropy and Dice where all scores are there at full resolution."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.ops.class_weighting import counted, hardest, mean_of
from segsuite.ops.precision import full


@dataclass(frozen=True)
class HardPixels:
    """Which pixels are looked at: the hardest, or all of them.

    Attributes:
        probability: probability of a pixel's own class below which the pixel is hard; None to look
            at all.
        share: share of the labelled pixels, the hardest of which are looked at in any case.

    Raises:
        ConfigError: these are not above 0 and at most 1.
    """

    probability: float | None
    share: float

    def __post_init__(self) -> None:
        for key, value in (("ohem", self.probability), ("ohem_kept", self.share)):
            if value is not None and (isinstance(value, bool) or not 0 < value <= 1):
                raise ConfigError(
                    f"method.loss.{key}={value} is no share above 0 and up to 1; the usual choice "
                    "is method.loss.ohem=0.7 method.loss.ohem_kept=0.0625"
                )

    def __bool__(self) -> bool:
        return self.probability is not None

    def labels(self, losses: Tensor, labels: Tensor) -> Tensor:
        """The labels of those pixels, the others ignored; see `ops.class_weighting.hardest`."""
        assert self.probability is not None  # who looks at all pixels does not ask
        return hardest(losses, labels, probability=self.probability, share=self.share)


def summed_cross_entropy(
    scores: Tensor, labels: Tensor, weights: Tensor | None, hard: HardPixels
) -> tuple[Tensor, Tensor]:
    """The summed loss and what to divide it by, as F.cross_entropy(weight=) does.

    Shapes: scores (B, K, H, W), labels (B, H, W) int64 with IGNORE, weights (K,)
    """
    if hard:
        with torch.no_grad():
            each = F.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="none")
        labels = hard.labels(each, labels)
    own = None if weights is None else weights.to(scores.dtype)
    total = F.cross_entropy(scores, labels, own, ignore_index=IGNORE, reduction="sum")
    return total, counted(labels, weights)


def dice_loss(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1), the mean over classes that the batch holds.

    Soft Dice (Milletari et al., 3DV 2016) of the softmax, over all labelled pixels of the batch;
    the mean is weighted where classes are. 0 where no pixel has a label. In float32 at least, also
    under autocast: a class of 65,505 pixels is infinite in float16.

    Shapes: scores (B, K, H, W), labels (B, H, W) int64 with IGNORE, weights (K,) -> scalar
    """
    seen = labels != IGNORE
    place = labels.clamp(min=0)
    with torch.autocast(labels.device.type, enabled=False):
        shares = full(scores).softmax(1)
        own = shares.gather(1, place.unsqueeze(1)).squeeze(1).masked_fill(~seen, 0.0)
        flat = place.flatten()
        overlap = shares.new_zeros(shares.shape[1]).scatter_add(0, flat, own.flatten())
        truth = torch.zeros_like(overlap).scatter_add(0, flat, seen.flatten().to(overlap.dtype))
        predicted = torch.einsum("bkhw,bhw->k", shares, seen.to(shares.dtype))
    each = 1 - (2 * overlap + 1) / (predicted + truth + 1)
    counts = (truth > 0).to(each.dtype)
    counts = counts if weights is None else counts * weights.to(each.dtype)
    return mean_of((each * counts).sum(), counts.sum())
