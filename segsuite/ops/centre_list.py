"""Centres of instances from a heat map, in a fixed number of slots: static shapes for export."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.ops.precision import full


def centre_list(
    heat: Tensor, *, threshold: float = 0.1, kernel: int = 7, count: int = 200
) -> tuple[Tensor, Tensor]:
    """The highest peaks of a heat map, the highest first; equal ones in raster order.

    A peak is above the threshold and nowhere lower than the window around it (non-maximum
    suppression by max-pooling, Panoptic-DeepLab). Equal heights in one window are all peaks.

    Args:
        threshold: heat that a centre must exceed, at least 0.
        kernel: side of the square window in pixels, odd: 7 for Cityscapes, 41 for COCO.
        count: number of slots, K.

    Shapes: heat (B, 1, H, W) -> centres (B, K, 2) int64 in pixels, y first; scores (B, K), their
        heat. Slots without a centre come last, with score 0 and centre (0, 0).

    Raises:
        ConfigError: the kernel has no middle, or the threshold lets 0 be a centre.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigError(f"kernel={kernel}: a window around a pixel has an odd number of pixels")
    if threshold < 0:
        raise ConfigError(f"threshold={threshold}: heat of at most 0 is no centre; give 0 or more")
    heat, reach = full(heat), kernel // 2
    # Along one axis and then the other: 2 k comparisons for each pixel, and not k^2.
    pooled = F.max_pool2d(heat, (kernel, 1), stride=1, padding=(reach, 0))
    pooled = F.max_pool2d(pooled, (1, kernel), stride=1, padding=(0, reach))
    peaks = torch.where((heat == pooled) & (heat > threshold), heat, 0.0).flatten(1)
    place = _highest(peaks, min(count, peaks.shape[1]))
    scores = peaks.gather(1, place)
    place, scores = _by_score(place, scores)
    place = torch.where(scores > 0, place, 0)
    width = heat.shape[3]
    centres = torch.stack([place // width, place % width], dim=2)
    lacking = count - centres.shape[1]
    if lacking:  # an image of fewer pixels than slots
        centres, scores = F.pad(centres, (0, 0, 0, lacking)), F.pad(scores, (0, lacking))
    return centres, scores


def _highest(peaks: Tensor, count: int) -> Tensor:
    """(B, count) int64: where the highest are, in raster order, of equal ones the first.

    topk itself leaves open which of equal numbers it takes; their lowest value it does not. All
    above that are taken, then as many of it as there is room for. Keys are all different.
    """
    pixels = peaks.shape[1]
    least = peaks.topk(count, dim=1).values[:, -1:]
    falling = torch.arange(pixels, 0, -1, dtype=torch.int32, device=peaks.device)
    keys = torch.where(peaks > least, falling + pixels, torch.where(peaks == least, falling, 0))
    keys = keys.topk(count, dim=1).values
    return torch.where(keys > pixels, 2 * pixels - keys, pixels - keys).long()


def _by_score(place: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Both, the highest score first; equal ones stay in order.

    The rank of each is the number that come before it, by all pairs: exporters know no stable sort.
    """
    slot = torch.arange(scores.shape[1], device=scores.device)
    earlier = slot[:, None] > slot  # (K, K): whether the second stands before the first
    mine, other = scores[:, :, None], scores[:, None]
    rank = ((other > mine) | ((other == mine) & earlier)).sum(2)
    return (
        torch.zeros_like(place).scatter(1, rank, place),
        torch.zeros_like(scores).scatter(1, rank, scores),
    )
