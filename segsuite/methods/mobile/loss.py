"""Cross-entropy at the size of the labels, as the original code: no class weights, no mining."""

import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.contract import IGNORE
from segsuite.nn.predictions import StridedPrediction


class PixelCrossEntropy(nn.Module):
    """The mean over the labelled pixels of a batch, of scores upsampled to full resolution."""

    def forward(self, output: StridedPrediction, labels: Tensor) -> dict[str, Tensor]:
        """`ce`; 0 where no pixel has a label.

        Shapes: labels (B, H, W) int64 with IGNORE
        """
        scores = output.scores(tuple(labels.shape[1:])).float()
        total = F.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="sum")
        return {"ce": total / (labels != IGNORE).sum().clamp(min=1)}
