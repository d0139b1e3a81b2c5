"""Cross-entropy over all classes, exactly, without their logits."""

from typing import Any, Literal

from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.methods.essnet.losses.base import PixelLoss
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.ops.streaming_upsampled import upsampled_cross_entropy, upsampled_losses


class ExactLoss(PixelLoss):
    """Equation 5 of the paper over all classes; for a linear head, what F.cross_entropy gives.

    Args:
        budget: number of logits held at once; None for what suits the device.
        kernel: kernel of the loss, see `ops.streaming_cross_entropy`.
    """

    @with_arguments_of(PixelLoss)
    def __init__(
        self,
        *,
        budget: int | None = None,
        kernel: Literal["auto", "torch", "triton"] = "auto",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.budget, self.kernel = budget, kernel

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        what = (output.features, output.table)
        how: dict[str, Any] = {
            "bias": output.bias,
            "scale": output.scale,
            "metric": output.metric,
            "normalize_after": output.normalize_after,
            "budget": self.budget,
            "kernel": self.kernel,
        }
        if self.hard:
            labels = self.hard.labels(upsampled_losses(*what, labels, **how), labels)
        return upsampled_cross_entropy(*what, labels, **how, weights=self.weights(output))
