"""From pixel features and class vectors to labels, for any number of classes."""

from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.ops.bilinear import resized
from segsuite.ops.class_argmax import upsampled_class_argmax
from segsuite.ops.precision import full
from segsuite.ops.upsample import upsampled_argmax

_WIDE = 32
"""Numbers per pixel from which it is cheaper to upsample logits than features."""

_COARSE = 2**24
"""Logits of an image at native stride: 64 MB in float32."""


@dataclass(frozen=True)
class EssnetPrediction:
    """The nearest class embedding, or the highest logit, of every pixel."""

    output: EssnetOutput
    trace: None = None

    def labels(self, size: Size) -> Tensor:
        """(B, H, W) int64; a running argmax over chunks of classes.

        Wide features meet the classes at native stride, where there are 16 times fewer pixels,
        unless even that map would be large.
        """
        out = self.output
        coarse = out.features[0, 0].numel() * len(out.table)
        if self._affine and out.features.shape[1] >= _WIDE and coarse <= _COARSE:
            with torch.autocast(out.features.device.type, enabled=False):
                return upsampled_argmax(self._logits(full(out.features)), size)
        return upsampled_class_argmax(
            out.features, out.table, out.offset(), size, normalize_after=out.normalize_after
        )

    def features(self, size: Size) -> Tensor:
        """(B, d, H, W): upsampled pixel features, of unit length where that is done after."""
        fine = resized(full(self.output.features), size)
        return F.normalize(fine, dim=1) if self.output.normalize_after else fine

    def scores(self, size: Size) -> Tensor:
        """(B, K, H, W) logits, up to a number per pixel that all classes share.

        Made at native stride and upsampled where they are affine in the features.
        """
        features = self.output.features
        with torch.autocast(features.device.type, enabled=False):
            if not self._affine:
                return self._logits(self.features(size))
            # Class by class, as a softmax over classes takes them: laid out while they are few.
            return resized(self._logits(full(features)).contiguous(), size)

    def of(self, image: int) -> Self:
        """Of one image of the batch."""
        features = self.output.features[image : image + 1]
        return replace(self, output=replace(self.output, features=features))

    @property
    def _affine(self) -> bool:
        """Whether logits may be upsampled in place of features."""
        return self.output.metric != "l2" and not self.output.normalize_after

    def _logits(self, x: Tensor) -> Tensor:
        """(B, K, h, w) of features (B, d, h, w)."""
        out = self.output
        table, pixels = out.table.to(x.dtype), x.permute(0, 2, 3, 1)
        if out.metric == "l2":
            distances = torch.cdist(pixels.flatten(0, 2), table) * -out.scale
            return distances.view(*pixels.shape[:3], -1).permute(0, 3, 1, 2)
        logits = F.conv2d(x, table[:, :, None, None], out.offset())
        return logits * (2 * out.scale if out.metric == "sq" else out.scale)
