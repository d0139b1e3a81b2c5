"""F.cross_entropy on all logits of all pixels: the control, and what memory it takes."""

from torch import Tensor

from segsuite.methods.essnet.losses.base import PixelLoss
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.methods.essnet.predictions import EssnetPrediction
from segsuite.nn.dense_losses import dice_loss, summed_cross_entropy
from segsuite.ops.streaming_cross_entropy import check_labels


class DenseLoss(PixelLoss):
    """Upsampled logits, log-softmax and its gradient at full resolution; a Dice loss if wanted."""

    has_scores = True

    def least_bytes(self, pixels: int, classes: int) -> int:
        """Logits, log-softmax and the gradients of both, in float32."""
        return 4 * 4 * pixels * classes

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.measured(output, labels)[:2]

    def measured(
        self, output: EssnetOutput, labels: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        scores, weights = all_scores(output, labels), self.weights(output)
        dice = self.dice * dice_loss(scores, labels, weights) if self.dice else None
        total, count = summed_cross_entropy(scores, labels, weights, self.hard)
        return total, count, {} if dice is None else {"dice": dice}


def all_scores(output: EssnetOutput, labels: Tensor) -> Tensor:
    """(B, C, H, W) at the size of the labels (B, H, W), which are checked."""
    check_labels(labels, len(output.table))
    return EssnetPrediction(output).scores(tuple(labels.shape[1:]))
