"""Cross-entropy over all classes, exactly, without their logits."""

import math
from typing import Annotated, Any, Literal

from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.core.hints import Between
from segsuite.methods.essnet.losses.base import PixelLoss
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.ops.streaming_odds import cutoff_for
from segsuite.ops.streaming_upsampled import upsampled_cross_entropy, upsampled_losses


class ExactLoss(PixelLoss):
    """Equation 5 of the paper over all classes; for a linear head, what F.cross_entropy gives.

    Args:
        budget: number of logits held at once; None for what suits the device.
        kernel: kernel of the loss, see `ops.streaming_cross_entropy`.
        cutoff: how far below a pixel's highest and own logit a pair of pixel and class may be left
            out, see `ops.streaming_odds`; None for the smallest that changes nothing in float32,
            infinity (typed as inf) for none to be.
    """

    @with_arguments_of(PixelLoss)
    def __init__(
        self,
        *,
        budget: int | None = None,
        kernel: Literal["auto", "torch", "triton"] = "auto",
        cutoff: Annotated[float, Between(0, math.inf)] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.budget, self.kernel, self.cutoff = budget, kernel, cutoff

    def check_classes(self, classes: int) -> None:
        cutoff_for(self.cutoff, classes)

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        what = (output.features, output.table)
        how: dict[str, Any] = {
            "bias": output.bias,
            "scale": output.scale,
            "metric": output.metric,
            "normalize_after": output.normalize_after,
            "budget": self.budget,
            "kernel": self.kernel,
            "cutoff": self.cutoff,
        }
        if self.hard:
            labels = self.hard.labels(upsampled_losses(*what, labels, **how), labels)
        return upsampled_cross_entropy(*what, labels, **how, weights=self.weights(output))
