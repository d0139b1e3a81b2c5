"""F.cross_entropy on all logits of all pixels: the control, and what memory it takes."""

import torch.nn.functional as F
from torch import Tensor

from segsuite.core.contract import IGNORE
from segsuite.methods.essnet.losses.base import PixelLoss
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.methods.essnet.predictions import EssnetPrediction
from segsuite.ops.streaming_cross_entropy import check_labels


class DenseLoss(PixelLoss):
    """Upsampled logits, log-softmax and its gradient at full resolution."""

    def least_bytes(self, pixels: int, classes: int) -> int:
        """Logits, log-softmax and the gradients of both, in float32."""
        return 4 * 4 * pixels * classes

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        check_labels(labels, len(output.table))
        logits = EssnetPrediction(output).scores(tuple(labels.shape[1:]))
        total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        return total, (labels != IGNORE).sum()
