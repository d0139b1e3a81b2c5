"""Labels at full resolution without a full-resolution score map."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.contract import Size


def upsampled_argmax(scores: Tensor, size: Size, *, chunk: int = 16) -> Tensor:
    """(B, H, W) int64: the argmax of `scores` after bilinear upsampling (align_corners=False).

    A running maximum over chunks of classes: never more than `chunk` channels at full resolution.
    Ties go to the lowest class, as with argmax.

    Shapes: scores (B, K, h, w) -> (B, *size)
    """
    best = labels = None
    for start in range(0, scores.shape[1], chunk):
        part = F.interpolate(
            scores[:, start : start + chunk], size=size, mode="bilinear", align_corners=False
        )
        value, index = part.max(dim=1)
        if best is None:
            best, labels = value, index
        else:
            better = value > best
            labels = torch.where(better, index + start, labels)
            best = torch.where(better, value, best)
    return labels
