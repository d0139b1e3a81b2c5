"""Panoptic maps from labels, offsets and a list of centres.

The post-processing of Panoptic-DeepLab (Cheng et al., CVPR 2020), as HyCTAS uses it. Segsuite's
`runtime.panoptic` does the same without torch.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.core.panoptic import LABEL_DIVISOR, STEPS_OF_ONE
from segsuite.ops.nearest_centre import nearest_centre
from segsuite.ops.thing_pixels import thing_pixels


class Panoptic(NamedTuple):
    """Panoptic maps of a batch, and a table of the instances, one row for each of K centres.

    Attributes:
        labels: (B, H, W) int64 classes, IGNORE for void.
        instances: (B, H, W) int32: class * 1000 + number, the number that of the centre, from 1; 0
            for stuff and void.
        classes: (B, K) int64 the instance's class, IGNORE where a centre has no pixels.
        areas: (B, K) int64 in pixels.
        scores: (B, K) float32 for instance AP, 0 where there is no instance; None without
            probabilities.
    """

    labels: Tensor
    instances: Tensor
    classes: Tensor
    areas: Tensor
    scores: Tensor | None


@torch.no_grad()
def panoptic_maps(
    labels: Tensor,
    offsets: Tensor,
    centres: Tensor,
    heat: Tensor,
    *,
    things: Collection[int],
    stuff_area: int,
    probabilities: Tensor | None = None,
) -> Panoptic:
    """Gives every pixel of a thing to its nearest centre, and every instance a class.

    Pixels of thing classes belong to the centre nearest to pixel + offset, the first of equally
    near ones. The class of an instance is that of most of its pixels, the lowest of equally many.
    Without centres there are no instances, and things are void. The same on CPU and GPU, to the
    last bit.

    Args:
        heat: heat of the centres; slots without one come last, with 0 (`ops.centre_list`).
        things: class numbers of things.
        stuff_area: area in pixels below which all of a stuff class is void: 2048 for Cityscapes,
            4096 for COCO.
        probabilities: probability of each pixel's class, for scores. An instance's is the mean over
            its pixels, those of other classes counted as 0, times the heat of its centre.
            (detectron2 adds what these pixels give to the instance's class, for which it holds
            the probabilities of all classes, and takes the heat at the mean of the instance's
            pixels, for which an exported file would have to hold the whole map.)

    Shapes: labels (B, H, W) int64 with IGNORE, offsets (B, 2, H, W) in pixels, y first, centres
        (B, K, 2) int64 in pixels, y first, heat (B, K), probabilities (B, H, W)

    Raises:
        ConfigError: there are more centres than an id has room for.
    """
    if heat.shape[1] >= LABEL_DIVISOR:
        raise ConfigError(
            f"{heat.shape[1]} centres an image, but ids have room for {LABEL_DIVISOR - 1} "
            "instances; keep fewer centres"
        )
    given = zip(labels, offsets, centres, heat, strict=True)
    maps = [
        _image(*image, things, stuff_area, None if probabilities is None else probabilities[b])
        for b, image in enumerate(given)
    ]
    *columns, scores = zip(*maps, strict=True)
    stacked = [torch.stack(column) for column in columns]
    return Panoptic(*stacked, scores=None if probabilities is None else torch.stack(scores))


def _image(
    labels: Tensor,
    offsets: Tensor,
    centres: Tensor,
    heat: Tensor,
    things: Collection[int],
    stuff_area: int,
    probabilities: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """What `Panoptic` holds, of one image."""
    thing = thing_pixels(labels, things)
    result = stuff_only(labels, thing, stuff_area)
    instances = torch.zeros_like(labels, dtype=torch.int32)
    found = int((heat > 0).sum())
    classes, areas = torch.full_like(centres[:, 0], IGNORE), torch.zeros_like(centres[:, 0])
    scores = None if probabilities is None else torch.zeros_like(heat, dtype=torch.float32)
    if found and things:
        pixels = thing.flatten().nonzero().squeeze(1)
        slots = nearest_centre(pixels, offsets, centres[:found])
        own = labels.flatten()[pixels]
        classes, areas = _majority(slots, own, sorted(things), len(heat))
        ids = classes * LABEL_DIVISOR + torch.arange(1, len(heat) + 1, device=labels.device)
        result.view(-1)[pixels] = classes[slots]
        instances.view(-1)[pixels] = ids.int()[slots]
        if probabilities is not None:
            probability = probabilities.flatten()[pixels].where(own == classes[slots], 0.0)
            scores = _scores(slots, probability, areas, heat)
    return result, instances, classes, areas, scores


def stuff_only(labels: Tensor, thing: Tensor, stuff_area: int) -> Tensor:
    """Labels of stuff that is large enough, IGNORE elsewhere.

    Shapes: labels (H, W), thing (H, W) bool -> (H, W) int64
    """
    stuff = labels.masked_fill(thing, IGNORE) + 1
    areas = stuff.flatten().bincount()
    kept = torch.arange(-1, len(areas) - 1, device=labels.device)
    return kept.masked_fill_(areas < stuff_area, IGNORE)[stuff]


def _majority(slots: Tensor, own: Tensor, things: list[int], count: int) -> tuple[Tensor, Tensor]:
    """The class of most pixels of each instance, and how many pixels it has.

    Shapes: slots (n,), own (n,) classes of the pixels -> (count,), (count,)
    """
    known = torch.tensor(things, device=slots.device)
    rank = torch.searchsorted(known, own)
    pairs = (slots * len(things) + rank).bincount(minlength=count * len(things))
    pairs = pairs.view(count, len(things))
    areas = pairs.sum(1)
    return known[pairs.argmax(1)].masked_fill(areas == 0, IGNORE), areas


def _scores(slots: Tensor, probability: Tensor, areas: Tensor, heat: Tensor) -> Tensor:
    """(K,) float32; sums are of whole numbers, which is exact in any order."""
    # What is not finite counts as 0: it has no whole number.
    steps = (probability.double() * STEPS_OF_ONE).nan_to_num_(0, 0, 0).round_().long()
    sums = torch.zeros_like(areas).index_add_(0, slots, steps)
    mean = sums.double() / (areas.clamp(min=1) * STEPS_OF_ONE)
    return (mean * heat.double()).float()
