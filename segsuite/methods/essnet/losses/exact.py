"""Cross-entropy over all classes, exactly, without their logits."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from segsuite.core.hints import NotNegative
from segsuite.methods.essnet.losses.base import PixelLoss
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.methods.essnet.regulariser import MaxMargin
from segsuite.ops.streaming_upsampled import upsampled_cross_entropy, upsampled_losses


class ExactLoss(PixelLoss):
    """Equation 5 of the paper over all classes; for a linear head, what F.cross_entropy gives.

    Args:
        budget: number of logits held at once; None for what suits the device.
        kernel: kernel of the loss, see `ops.streaming_cross_entropy`.
    """

    def __init__(
        self,
        *,
        regulariser: MaxMargin | None = None,
        max_pixels: int | None = None,
        global_mean: bool = False,
        class_weights: Sequence[float] | str | None = None,
        ohem: float | None = None,
        ohem_kept: float = 0.0625,
        dice: NotNegative = 0.0,
        budget: int | None = None,
        kernel: Literal["auto", "torch", "triton"] = "auto",
    ) -> None:
        super().__init__(
            regulariser=regulariser,
            max_pixels=max_pixels,
            global_mean=global_mean,
            class_weights=class_weights,
            ohem=ohem,
            ohem_kept=ohem_kept,
            dice=dice,
        )
        self.budget, self.kernel = budget, kernel

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        what, how = (
            (output.features, output.table),
            {
                "bias": output.bias,
                "scale": output.scale,
                "metric": output.metric,
                "normalize_after": output.normalize_after,
                "budget": self.budget,
                "kernel": self.kernel,
            },
        )
        if self.hard:
            labels = self.hard.labels(upsampled_losses(*what, labels, **how), labels)
        return upsampled_cross_entropy(*what, labels, **how, weights=self.weights(output))
