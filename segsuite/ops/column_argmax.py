"""Labels from a coarse grid, one strip between two of its lines after the other."""

from itertools import pairwise

import torch
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.ops.bilinear import bilinear_matrix, bilinear_neighbours
from segsuite.ops.precision import full

_AT_ONCE = 2**18
"""Scores at full resolution held at once: 1 MB, which stays in a core's cache."""


def argmax_by_columns(scores: Tensor, size: Size, *, align_corners: bool = False) -> Tensor:
    """(B, H, W) int64: the argmax after bilinear upsampling, whatever the scores are.

    Each grid line is stretched to all columns once; between two lines all pixels of all classes are
    made, but only of a strip, with the classes a step of memory apart that the maximum likes. Exact
    up to scores that tie within rounding; exact ties go to the lowest class.

    Args:
        align_corners: whether the corner points of both grids coincide, as in F.interpolate.

    Shapes: scores (B, K, h, w) -> (B, *size)
    """
    with torch.autocast(scores.device.type, enabled=False):  # products would lose digits there
        return _labels(full(scores.detach()), size, align_corners)


def _labels(scores: Tensor, size: Size, align_corners: bool) -> Tensor:
    kind = {"align_corners": align_corners, "device": scores.device, "dtype": scores.dtype}
    lines, points = scores.shape[2:]
    across = bilinear_matrix(points, size[1], **kind).T
    above, down = bilinear_neighbours(lines, size[0], **kind)
    ends = above.bincount(minlength=lines).cumsum(0).tolist()
    labels = above.new_empty(len(scores), *size)
    for image, image_labels in zip(scores, labels, strict=True):
        upper = image[:, 0] @ across
        for line, (start, end) in enumerate(pairwise([0, *ends])):
            lower = image[:, min(line + 1, lines - 1)] @ across
            if end > start:
                image_labels[start:end] = _strip(upper, lower, down[start:end])
            upper = lower
    return labels


def _strip(upper: Tensor, lower: Tensor, down: Tensor) -> Tensor:
    """(R, W) labels of R lines between two.

    Shapes: upper, lower (K, W), down (R,) how far below the upper one
    """
    step = max(_AT_ONCE // (len(upper) * len(down)), 1)
    pairs = zip(upper.split(step, 1), lower.split(step, 1), strict=True)
    parts = [torch.lerp(a[:, None], b[:, None], down[:, None]).max(dim=0).indices for a, b in pairs]
    return torch.cat(parts, dim=1)
