"""Panoptic maps from what an exported network gives, by numpy: `ops.panoptic_grouping` again."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.core.panoptic import FARTHEST, LABEL_DIVISOR, STEPS_OF_ONE, STEPS_PER_PIXEL

_AT_ONCE = 2**20
"""Distances between pixels and centres held at once: 8 MB."""


class Panoptic(NamedTuple):
    """The panoptic maps of one image, and a table of the instances, one row for each of K centres.

    Attributes:
        labels: (H, W) int64 classes, IGNORE for void.
        instances: (H, W) int32: class * 1000 + number, the number that of the centre, from 1; 0
            for stuff and void.
        classes: (K,) int64 the instance's class, IGNORE where a centre has no pixels.
        areas: (K,) int64 in pixels.
        scores: (K,) float32 for instance AP, 0 where there is no instance; None without
            probabilities.
    """

    labels: NDArray[np.int64]
    instances: NDArray[np.int32]
    classes: NDArray[np.int64]
    areas: NDArray[np.int64]
    scores: NDArray[np.float32] | None

    @property
    def table(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32] | None]:
        """(N,) each: ids, classes and scores of the N instances that there are."""
        there = self.classes != IGNORE
        scores = None if self.scores is None else self.scores[there]
        return _ids(self.classes)[there], self.classes[there], scores


def panoptic_map(
    labels: NDArray[np.int64],
    offsets: NDArray[np.float32],
    centres: NDArray[np.int64],
    heat: NDArray[np.float32],
    *,
    things: Collection[int],
    stuff_area: int,
    probabilities: NDArray[np.float32] | None = None,
) -> Panoptic:
    """Gives every pixel of a thing to its nearest centre, and every instance a class.

    To the last bit what `ops.panoptic_grouping.panoptic_maps` gives, which says more.

    Args:
        heat: heat of the centres; slots without one come last, with 0.
        things: class numbers of things.
        stuff_area: area in pixels below which all of a stuff class is void.
        probabilities: probability of each pixel's class, for scores.

    Shapes: labels (H, W) with IGNORE, offsets (2, H, W) in pixels, y first, centres (K, 2) in
        pixels, y first, heat (K,), probabilities (H, W)

    Raises:
        ConfigError: there are more centres than an id has room for.
    """
    if len(heat) >= LABEL_DIVISOR:
        raise ConfigError(
            f"{len(heat)} centres an image, but ids have room for {LABEL_DIVISOR - 1} instances; "
            "keep fewer centres"
        )
    thing = np.isin(labels, sorted(things))
    result = _stuff_only(labels, thing, stuff_area)
    instances = np.zeros(labels.shape, np.int32)
    found = np.count_nonzero(heat > 0)
    classes, areas = np.full(len(heat), IGNORE, np.int64), np.zeros(len(heat), np.int64)
    scores = None if probabilities is None else np.zeros(len(heat), np.float32)
    if found and things:
        pixels = np.flatnonzero(thing)
        slots = nearest_centre(pixels, offsets, centres[:found])
        own = labels.ravel()[pixels]
        classes, areas = _majority(slots, own, sorted(things), len(heat))
        ids = _ids(classes)
        result.ravel()[pixels] = classes[slots]
        instances.ravel()[pixels] = ids[slots]
        if probabilities is not None:
            probability = np.where(own == classes[slots], probabilities.ravel()[pixels], 0.0)
            scores = _scores(slots, probability, areas, heat)
    return Panoptic(result, instances, classes, areas, scores)


def nearest_centre(
    pixels: NDArray[np.int64], offsets: NDArray[np.float32], centres: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which centre is nearest to pixel + offset, of equally near ones the first.

    Shapes: pixels (n,) positions in the flattened image, offsets (2, H, W), centres (K, 2), K at
        least 1 -> (n,)
    """
    places = centres.astype(np.float64)
    half = np.square(places).sum(1) / -2
    step = max(_AT_ONCE // len(centres), 1)
    # |p - c|^2 is least where p.c - |c|^2 / 2 is highest; exact in float64, in any order.
    nearest = [
        (_votes(pixels[start : start + step], offsets) @ places.T + half).argmax(1)
        for start in range(0, len(pixels), step)
    ]
    return np.concatenate([np.empty(0, np.int64), *nearest])


def _ids(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(K,) the id of the instance of each centre."""
    return classes * LABEL_DIVISOR + np.arange(1, len(classes) + 1)


def _votes(pixels: NDArray[np.int64], offsets: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 2) pixel + offset, rounded; what is no number counts as 0."""
    pixel = np.stack(np.divmod(pixels, offsets.shape[2]), axis=1).astype(np.float32)
    moved = pixel + offsets.reshape(2, -1).T[pixels].astype(np.float32)
    moved = np.nan_to_num(moved, nan=0.0, posinf=FARTHEST, neginf=-FARTHEST)
    moved = moved.clip(-FARTHEST, FARTHEST).astype(np.float64)
    return np.rint(moved * STEPS_PER_PIXEL) / STEPS_PER_PIXEL


def _stuff_only(
    labels: NDArray[np.int64], thing: NDArray[np.bool_], stuff_area: int
) -> NDArray[np.int64]:
    """Labels of stuff that is large enough, IGNORE elsewhere."""
    stuff = np.where(thing, IGNORE, labels) + 1
    areas = np.bincount(stuff.ravel())
    kept = np.where(areas < stuff_area, IGNORE, np.arange(-1, len(areas) - 1))
    return kept[stuff]


def _majority(
    slots: NDArray[np.int64], own: NDArray[np.int64], things: list[int], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class of most pixels of each instance, and how many pixels it has."""
    rank = np.searchsorted(things, own)
    pairs = np.bincount(slots * len(things) + rank, minlength=count * len(things))
    pairs = pairs.reshape(count, len(things))
    areas = pairs.sum(1)
    return np.where(areas > 0, np.array(things)[pairs.argmax(1)], IGNORE), areas


def _scores(
    slots: NDArray[np.int64],
    probability: NDArray[np.float64],
    areas: NDArray[np.int64],
    heat: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Mean probability times heat; sums are of whole numbers, which is exact in any order."""
    finite = np.nan_to_num(probability * float(STEPS_OF_ONE), nan=0, posinf=0, neginf=0)
    steps = np.rint(finite).astype(np.int64)
    sums = np.zeros(len(areas), np.int64)
    np.add.at(sums, slots, steps)
    mean = sums.astype(np.float64) / (areas.clip(min=1) * STEPS_OF_ONE)
    return (mean * heat.astype(np.float64)).astype(np.float32)
