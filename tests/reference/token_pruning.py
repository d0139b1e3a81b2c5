"""DToP's keep rule and masked forward, as plainly as possible: loops over images and classes."""

import torch
from torch import Tensor


def stays(confidence: Tensor, label: Tensor, theta: float, keep: int) -> Tensor:
    """(B, n) bool, as the paper says: of each class among the confident, the `keep` best stay."""
    result = torch.ones_like(confidence, dtype=torch.bool)
    for b in range(confidence.shape[0]):
        done = [i for i in range(confidence.shape[1]) if confidence[b, i] > theta]
        for c in {int(label[b, i]) for i in done}:
            of_class = sorted(
                (i for i in done if int(label[b, i]) == c),
                key=lambda i: (-float(confidence[b, i]), i),
            )
            for i in of_class[keep:]:
                result[b, i] = False
    return result
