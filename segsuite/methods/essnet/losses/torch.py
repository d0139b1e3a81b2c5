"""torch's own chunked cross-entropy: a control of the exact loss."""

from typing import Any

from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.methods.essnet.losses.base import PixelLoss, labelled_pixels
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.nn.dense_losses import HardPixels
from segsuite.ops.streaming_upsampled import upsampled_losses
from segsuite.ops.torch_cross_entropy import check_torch_has_it, torch_cross_entropy


class TorchLoss(PixelLoss):
    """F.linear_cross_entropy of upsampled features, which are held; the exact loss in value.

    Raises:
        ConfigError: the installed torch lacks it.
    """

    metrics = ("dot", "sq")

    @with_arguments_of(PixelLoss)
    def __init__(self, **common: Any) -> None:
        check_torch_has_it()
        super().__init__(**common)

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        return summed_by_torch(output, labels, self.weights(output), self.hard)


def summed_by_torch(
    output: EssnetOutput, labels: Tensor, weights: Tensor | None, hard: HardPixels
) -> tuple[Tensor, Tensor]:
    """The loss summed over labelled pixels, and what to divide it by."""
    how: dict[str, Any] = {"bias": output.bias, "scale": output.scale, "metric": output.metric}
    if hard:
        after = output.normalize_after
        each = upsampled_losses(output.features, output.table, labels, normalize_after=after, **how)
        labels = hard.labels(each, labels)
    pixels, own = labelled_pixels(output, labels)
    return torch_cross_entropy(pixels, output.table, own, **how, weights=weights)
