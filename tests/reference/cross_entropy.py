"""The obvious softmax cross-entropy over all classes, by F.cross_entropy on all logits."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.labels import IGNORE


def dense_logits(
    features: Tensor,
    table: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float = 1.0,
    metric: str = "dot",
) -> Tensor:
    """(N, C) logits of (N, d) features."""
    if metric == "dot":
        logits = scale * features @ table.T
        return logits if bias is None else logits + bias
    difference = features.unsqueeze(1) - table
    squares = difference.square().sum(2)
    return -scale * (squares if metric == "sq" else squares.sqrt())


def dense_cross_entropy(features: Tensor, table: Tensor, labels: Tensor, **how: object) -> Tensor:
    """The summed loss over labelled pixels; 0 where there are none."""
    logits = dense_logits(features, table, **how)
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")


def upsampled_dense_cross_entropy(
    features: Tensor, table: Tensor, labels: Tensor, *, normalize_after: bool = False, **how: object
) -> Tensor:
    """The same, of features (B, d, h, w) that are upsampled to labels (B, H, W) first."""
    size = labels.shape[1:]
    fine = F.interpolate(features, size=size, mode="bilinear", align_corners=False)
    fine = F.normalize(fine, dim=1) if normalize_after else fine
    pixels = fine.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    return dense_cross_entropy(pixels, table, labels.flatten(), **how)


def gradients(loss: Tensor, inputs: list[Tensor | None]) -> list[Tensor]:
    """Of a loss by its inputs, those that are there."""
    return list(torch.autograd.grad(loss, [i for i in inputs if i is not None]))
