"""The class that fits best, out of any number of classes, without a map of all their logits."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.contract import Size
from segsuite.ops.bilinear import bilinear_matrix
from segsuite.ops.streaming_cross_entropy import full

_AT_ONCE = 2**20
"""Logits held at once: 4 MB in float32."""

_CLASSES = 4096
"""Classes compared at once; more would leave too few pixels to a chunk."""

_STRIP = 2**20
"""Upsampled features held at once: 4 MB in float32."""


def class_argmax(features: Tensor, table: Tensor, offset: Tensor | None) -> Tensor:
    """(N,) int64: argmax over classes of x.e_c + offset_c, as a running maximum over their chunks.

    The nearest point e_c is the argmax for offset_c = -|e_c|^2 / 2, whatever the scale. Ties go to
    the lowest class.

    Shapes: features (N, d), table (C, d), offset (C,)
    """
    step = max(_AT_ONCE // min(len(table), _CLASSES), 1)
    return torch.cat([_nearest(x, table, offset) for x in features.split(step)])


def _nearest(x: Tensor, table: Tensor, offset: Tensor | None) -> Tensor:
    best, label = None, None
    for start in range(0, len(table), _CLASSES):
        part = slice(start, start + _CLASSES)
        if offset is None:
            logits = x @ table[part].T
        else:
            logits = torch.addmm(offset[part], x, table[part].T)
        index = logits.argmax(1)
        value = logits.gather(1, index.unsqueeze(1)).squeeze(1)
        if best is None:
            best, label = value, index
        else:
            better = value > best
            best = torch.where(better, value, best)
            label = torch.where(better, index + start, label)
    return label


def upsampled_class_argmax(
    features: Tensor,
    table: Tensor,
    offset: Tensor | None,
    size: Size,
    *,
    normalize_after: bool = False,
) -> Tensor:
    """(B, H, W) int64: `class_argmax` of features that are first upsampled bilinearly.

    In strips of rows, so that features at full resolution are never held for a whole picture.

    Args:
        normalize_after: upsampled features are brought to unit length.

    Shapes: features (B, d, h, w), table (C, d), offset (C,)
    """
    with torch.autocast(features.device.type, enabled=False):
        features, table = full(features), full(table)
        labels = [
            _picture(x, table, offset, size, normalize_after=normalize_after) for x in features
        ]
    return torch.stack(labels)


def _picture(
    features: Tensor, table: Tensor, offset: Tensor | None, size: Size, *, normalize_after: bool
) -> Tensor:
    """(H, W) labels of (d, h, w) features."""
    kind = {"device": features.device, "dtype": features.dtype}
    down = bilinear_matrix(features.shape[1], size[0], **kind)
    across = bilinear_matrix(features.shape[2], size[1], **kind)
    wide = features @ across.T
    step = max(_STRIP // (features.shape[0] * size[1]), 1)
    parts = []
    for rows in down.split(step):
        x = torch.einsum("rh,dhw->rwd", rows, wide).flatten(0, 1)
        x = F.normalize(x, dim=1) if normalize_after else x
        parts.append(class_argmax(x, table, offset))
    return torch.cat(parts).view(size)
