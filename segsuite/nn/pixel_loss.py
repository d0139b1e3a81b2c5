"""Cross-entropy of scores at the size of the labels; hard pixels alone or Dice if asked for."""

from collections.abc import Sequence

from torch import Tensor, nn

from segsuite.core.hints import NotNegative
from segsuite.core.idle import counts
from segsuite.nn.class_weights import ClassWeights
from segsuite.nn.dense_losses import HardPixels, dice_loss, summed_cross_entropy
from segsuite.nn.segmenter import Prediction
from segsuite.ops.class_weighting import mean_of


@counts(ohem_kept={"ohem": ()})
class PixelCrossEntropy(nn.Module):
    """The mean over the labelled pixels of a batch, of scores upsampled to full resolution.

    Args:
        class_weights: weights of the classes, see `nn.class_weights`; the mean is that of
            F.cross_entropy(weight=).
        dice: weight of the Dice loss beside it.
        ohem: probability of its class below which a pixel is learnt from; None for all pixels.
        ohem_kept: share of a batch's labelled pixels, the hardest, that is learnt from at least.
    """

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | str | None = None,
        dice: NotNegative = 0.0,
        ohem: float | None = None,
        ohem_kept: float = 0.0625,
    ) -> None:
        super().__init__()
        self.class_weights = ClassWeights(class_weights)
        self.dice, self.hard = dice, HardPixels(ohem, ohem_kept)

    def forward(self, output: Prediction, labels: Tensor) -> dict[str, Tensor]:
        """`ce`, and `dice` where it has a weight; 0 where no pixel has a label.

        Shapes: labels (B, H, W) int64 with IGNORE
        """
        scores = output.scores((labels.shape[1], labels.shape[2])).float()
        weights = self.class_weights.of(scores.shape[1])
        losses = {"ce": mean_of(*summed_cross_entropy(scores, labels, weights, self.hard))}
        if self.dice:
            losses["dice"] = self.dice * dice_loss(scores, labels, weights)
        return losses
