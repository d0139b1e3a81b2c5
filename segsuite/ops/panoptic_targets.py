"""What a network with an instance head learns: a heat map of centres, offsets and their weights.

Panoptic-DeepLab (Cheng et al., CVPR 2020), as HyCTAS uses it. Unlike the generator of detectron2,
crowds have no centre: there they draw one into the heat map, around their own ignored pixels.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from segsuite.core.labels import IGNORE
from segsuite.ops.thing_pixels import thing_pixels

_AT_ONCE = 2**20
"""Pixels of Gaussians that are drawn at once: 8 MB of places."""


class PanopticTargets(NamedTuple):
    """Targets of a batch, all float32.

    Attributes:
        heat: (B, 1, H, W) the highest of the instances' Gaussians, 1 at each centre.
        offsets: (B, 2, H, W) from each pixel to its instance's centre in pixels, y first; 0 where
            there is no instance.
        centre_weight: (B, 1, H, W) 1 on labelled pixels that are no crowd, 0 elsewhere.
        offset_weight: (B, 1, H, W) 1 on pixels of instances, 0 elsewhere.
        semantic_weight: (B, H, W) the weight of each pixel's label.
    """

    heat: Tensor
    offsets: Tensor
    centre_weight: Tensor
    offset_weight: Tensor
    semantic_weight: Tensor


@torch.no_grad()
def panoptic_targets(
    labels: Tensor,
    instances: Tensor,
    *,
    things: Collection[int],
    sigma: int,
    small_area: int = 4096,
    small_weight: float = 3.0,
) -> PanopticTargets:
    """Targets of label and instance maps as a network sees them: cropped and flipped.

    An instance is what shows one id above 0 on pixels of thing classes; pixels of these classes
    without an id are crowd. The centre is the mean of the instance's pixels: offsets lead to it,
    and its Gaussian stands at the nearest pixel (halves to the even one). Equal on every device:
    sums are of whole numbers, and Gaussians are looked up by squared distance. A GPU is waited for,
    since the number of instances decides shapes.

    Args:
        things: class numbers of things.
        sigma: standard deviation of the Gaussians in pixels: 10 for Cityscapes, 8 for COCO. They
            are cut off outside of a square window of 6 sigma + 3 pixels.
        small_area: instances of fewer pixels are small.
        small_weight: weight of labels of small instances; all others weigh 1.

    Shapes: labels (B, H, W) int64 with IGNORE, instances (B, H, W) int32, 0 where there is none
    """
    thing = thing_pixels(labels, things)
    owned = thing & (instances > 0)
    pixels = owned.flatten().nonzero().squeeze(1)
    number = _numbered(instances, pixels)
    areas = number.bincount()
    image, y, x = _places(pixels, labels.shape)
    centres = torch.stack([_sums(of, number, len(areas)) / areas.double() for of in (y, x)], 1)

    offsets = torch.zeros(len(labels), 2, *labels.shape[1:], device=labels.device)
    for axis, of in enumerate((y, x)):
        offsets[image, axis, y, x] = (centres[number, axis] - of).float()
    semantic_weight = torch.ones(labels.shape, device=labels.device)
    weights = torch.where(areas < small_area, small_weight, 1.0)
    semantic_weight[image, y, x] = weights[number].float()

    of_image = _sums(image, number, len(areas)) // areas  # equal for all pixels of an instance
    crowd = thing & ~owned
    return PanopticTargets(
        heat=_heat(of_image, centres, labels.shape, sigma).unsqueeze(1),
        offsets=offsets,
        centre_weight=((labels != IGNORE) & ~crowd).float().unsqueeze(1),
        offset_weight=owned.float().unsqueeze(1),
        semantic_weight=semantic_weight,
    )


def _numbered(instances: Tensor, pixels: Tensor) -> Tensor:
    """(n,) which instance of the batch each of the pixels belongs to, numbers from 0.

    Runs of one id come first: there are far fewer of them to be sorted than pixels.
    """
    image = pixels // instances[0].numel()
    ids = (image << 32) + instances.flatten()[pixels]
    of_runs, run = ids.unique_consecutive(return_inverse=True)
    return of_runs.unique(return_inverse=True)[1][run]


def _places(pixels: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
    """Image, y and x of positions in a flattened batch."""
    _, height, width = shape
    row = pixels // width
    return row // height, row % height, pixels % width


def _sums(values: Tensor, number: Tensor, count: int) -> Tensor:
    """(count,) int64: sums of whole numbers by their instance, exact in any order."""
    return values.new_zeros(count).index_add_(0, number, values)


def _heat(image: Tensor, centres: Tensor, shape: torch.Size, sigma: int) -> Tensor:
    """(B, H, W) float32: the highest Gaussian, which is that of the nearest centre.

    Shapes: image (N,) int64, centres (N, 2) float64
    """
    reach = 3 * sigma + 1
    none = 2 * reach * reach + 1
    # With a margin, windows need not be cut at the image's borders.
    size = (shape[0], shape[1] + 2 * reach, shape[2] + 2 * reach)
    squared = torch.full(size, none, dtype=torch.int32, device=image.device)
    side = torch.arange(2 * reach + 1, device=image.device)
    window = (side[:, None] * size[2] + side).flatten()
    distance = ((side - reach) ** 2)[:, None] + (side - reach) ** 2
    y, x = centres.round().long().unbind(1)
    corners = (image * size[1] + y) * size[2] + x
    for part in corners.split(max(_AT_ONCE // len(window), 1)):
        to = (part[:, None] + window).flatten()
        given = distance.flatten().int().repeat(len(part))
        squared.view(-1).scatter_reduce_(0, to, given, "amin")
    inside = squared[:, reach : reach + shape[1], reach : reach + shape[2]]
    return _gaussian(none, sigma, image.device)[inside]


@lru_cache(maxsize=16)
def _gaussian(count: int, sigma: int, device: torch.device) -> Tensor:
    """(count + 1,) float32: the Gaussian by squared distance in pixels, and 0 at the end.

    Made on the CPU, since exp differs between devices, and once.
    """
    with torch.inference_mode(False):
        squared = torch.arange(count + 1, dtype=torch.float64)
        table = torch.exp(squared / (-2 * sigma * sigma)).float()
        table[-1] = 0
        return table.to(device)
