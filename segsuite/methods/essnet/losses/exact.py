"""Cross-entropy over all classes, exactly, without their logits."""

from typing import Literal

from torch import Tensor

from segsuite.methods.essnet.losses.base import PixelLoss
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.methods.essnet.regulariser import MaxMargin
from segsuite.ops.streaming_upsampled import upsampled_cross_entropy


class ExactLoss(PixelLoss):
    """Equation 5 of the paper over all classes; for a linear head, what F.cross_entropy gives.

    Args:
        budget: logits held at once; None for what suits the device.
        kernel: see `ops.streaming_cross_entropy`.
    """

    def __init__(
        self,
        *,
        regulariser: MaxMargin | None = None,
        max_pixels: int | None = None,
        global_mean: bool = False,
        budget: int | None = None,
        kernel: Literal["auto", "torch", "triton"] = "auto",
    ) -> None:
        super().__init__(regulariser=regulariser, max_pixels=max_pixels, global_mean=global_mean)
        self.budget, self.kernel = budget, kernel

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        return upsampled_cross_entropy(
            output.features,
            output.table,
            labels,
            bias=output.bias,
            scale=output.scale,
            metric=output.metric,
            normalize_after=output.normalize_after,
            budget=self.budget,
            kernel=self.kernel,
        )
