"""From attention-to-mask outputs to labels and scores."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.methods.segvit.head import AtmOutput
from segsuite.nn.predictions import GridPrediction
from segsuite.nn.token_trace import TokenTrace
from segsuite.ops.bilinear import bilinear_matrix

_STRIP = 2**21
"""Mask values held at once at full resolution: 8 MB, which stays in a CPU's cache."""


def presence_scores(output: AtmOutput) -> Tensor:
    """(B, K, ...) in float32: P(class present) * sigmoid(mask), the scores of `AtmSingle`."""
    present = output.classes.float().softmax(dim=-1)[..., 0]
    masks = output.masks.float()
    return present.view(*present.shape, *[1] * (masks.ndim - 2)) * masks.sigmoid()


def single_prediction(output: AtmOutput, trace: TokenTrace | None = None) -> GridPrediction:
    """The prediction of an `AtmSingle`, its masks on the grid (B, K, gh, gw).

    Scores are made on the grid and then upsampled, as in DToP; SegViT v1 upsamples the logits.
    """
    return GridPrediction(presence_scores(output), trace)


def cascade_prediction(output: AtmOutput, trace: TokenTrace | None = None) -> "CascadePrediction":
    """The prediction of the last stage of an `AtmCascade`, its masks on the grid (B, K, gh, gw)."""
    classes = output.classes.float().softmax(dim=-1)[..., :-1]  # "no object" is nobody's answer
    return CascadePrediction(classes, output.masks.float(), trace)


@dataclass(frozen=True)
class CascadePrediction:
    """Queries that each vote for every class within their mask (SegViT v1, eq. 8).

    score[k, x] = sum over queries q of class_probs[q, k] * sigmoid(upsampled masks[q, x]).

    Attributes:
        class_probs: class probabilities (B, Q, K) of the queries.
        masks: mask logits (B, Q, h, w) at native stride.
    """

    class_probs: Tensor
    masks: Tensor
    trace: TokenTrace | None = None

    def labels(self, size: Size) -> Tensor:
        """(B, H, W) int64; worked out by strips of rows."""
        wide, rows = self._across(size)
        strip = max(_STRIP // (wide.shape[0] * wide.shape[1] * size[1]), 1)
        parts = [self._votes(wide, part).argmax(dim=1) for part in rows.split(strip)]
        return torch.cat(parts, dim=1)

    def scores(self, size: Size) -> Tensor:
        """(B, K, H, W)."""
        return self._votes(*self._across(size))

    def of(self, image: int) -> Self:
        """Of one image of the batch."""
        one = slice(image, image + 1)
        return replace(self, class_probs=self.class_probs[one], masks=self.masks[one], trace=None)

    def _across(self, size: Size) -> tuple[Tensor, Tensor]:
        """Masks resized along their rows (B, Q, h, W), and the matrix (H, h) for the other axis."""
        height, width = self.masks.shape[-2:]
        kind = {"device": self.masks.device, "dtype": self.masks.dtype}
        columns = bilinear_matrix(width, size[1], **kind)
        with torch.autocast(self.masks.device.type, enabled=False):
            return self.masks @ columns.T, bilinear_matrix(height, size[0], **kind)

    def _votes(self, wide: Tensor, rows: Tensor) -> Tensor:
        """(B, K, r, W): the scores of the rows that `rows` (r, h) makes."""
        with torch.autocast(wide.device.type, enabled=False):
            masks = (rows @ wide).sigmoid()
            votes = self.class_probs.transpose(1, 2) @ masks.flatten(2)
        return votes.unflatten(2, masks.shape[-2:])
