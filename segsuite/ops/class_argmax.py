"""The class that fits best, out of any number of classes, without a map of all their logits."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.ops.bilinear import bilinear_matrix
from segsuite.ops.precision import full

_AT_ONCE = 2**18
"""Logits held at once: 1 MB in float32, which stays in a processor's cache."""

_CLASSES = 4096
"""Classes compared at once; more would leave too few pixels to a chunk."""

_BLOCK = 32
"""Classes of which the best is found before the best of blocks."""

_STRIP = 2**20
"""Upsampled features held at once: 4 MB in float32."""


def class_argmax(features: Tensor, table: Tensor, offset: Tensor | None) -> Tensor:
    """(N,) int64: argmax over classes of x.e_c + offset_c, as a running maximum over their chunks.

    The nearest point e_c is the argmax for offset_c = -|e_c|^2 / 2, whatever the scale. Ties go to
    the lowest class.

    Shapes: features (N, d), table (C, d), offset (C,)
    """
    offset = table.new_zeros(len(table)) if offset is None else offset
    parts = _parts(table, offset)
    step = max(_AT_ONCE // len(parts[0][1]), 1)
    # Results stand in one place: small ones kept between chunks would make a CPU's heap grow.
    labels = torch.empty(len(features), dtype=torch.int64, device=features.device)
    for x, place in zip(features.split(step), labels.split(step), strict=True):
        place.copy_(_best(x, parts))
    return labels


def _parts(table: Tensor, offset: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The classes in chunks of whole blocks, filled up with classes that never win."""
    lacking = -len(table) % _BLOCK
    table = F.pad(table, (0, 0, 0, lacking))
    offset = F.pad(offset, (0, lacking), value=-torch.inf)
    return list(zip(table.split(_CLASSES), offset.split(_CLASSES), strict=True))


def _best(x: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(n,) the best class of each row, over all chunks."""
    best, label, start = None, None, 0
    for table, offset in parts:
        value, index = _maximum(torch.addmm(offset, x, table.T))
        if best is None or label is None:
            best, label = value, index
        else:
            better = value > best
            best = torch.where(better, value, best)
            label = torch.where(better, index + start, label)
        start += len(table)
    assert label is not None  # there is always a chunk
    return label


def _maximum(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each row and its first place.

    On a CPU argmax goes through numbers one by one, amax by many at once: first the block.

    Shapes: logits (n, C) -> (n,), (n,)
    """
    blocks = logits.unflatten(1, (-1, _BLOCK))
    peaks = blocks.amax(2)
    block = peaks.argmax(1, keepdim=True)
    inside = blocks.gather(1, block.unsqueeze(2).expand(-1, -1, _BLOCK)).squeeze(1)
    index = block.squeeze(1) * _BLOCK + inside.argmax(1)
    return peaks.gather(1, block).squeeze(1), index


def upsampled_class_argmax(
    features: Tensor,
    table: Tensor,
    offset: Tensor | None,
    size: Size,
    *,
    normalize_after: bool = False,
) -> Tensor:
    """(B, H, W) int64: `class_argmax` of features that are first upsampled bilinearly.

    In strips of rows, so that features at full resolution are never held for a whole image.

    Args:
        normalize_after: whether upsampled features are brought to unit length.

    Shapes: features (B, d, h, w), table (C, d), offset (C,)
    """
    with torch.autocast(features.device.type, enabled=False):
        features, table = full(features), full(table)
        labels = [_image(x, table, offset, size, normalize_after=normalize_after) for x in features]
    return torch.stack(labels)


def _image(
    features: Tensor, table: Tensor, offset: Tensor | None, size: Size, *, normalize_after: bool
) -> Tensor:
    """(H, W) labels of (d, h, w) features."""
    kind: dict[str, Any] = {"device": features.device, "dtype": features.dtype}
    down = bilinear_matrix(features.shape[1], size[0], **kind)
    across = bilinear_matrix(features.shape[2], size[1], **kind)
    wide = features @ across.T
    step = max(_STRIP // (features.shape[0] * size[1]), 1)
    labels = torch.empty(size, dtype=torch.int64, device=features.device)
    for rows, place in zip(down.split(step), labels.split(step), strict=True):
        x = torch.einsum("rh,dhw->rwd", rows, wide).flatten(0, 1)
        x = F.normalize(x, dim=1) if normalize_after else x
        place.copy_(class_argmax(x, table, offset).view_as(place))
    return labels
