"""COCO's outlines and run lengths to masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import DataError

Outline = Sequence[Sequence[float]]
"""Polygons, each x0, y0, x1, y1, ...; their union is the region."""

LEAST_NUMBERS = 6
"""Of a polygon: three points."""


def region(segmentation: Outline | Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) the pixels of one annotation.

    Raises:
        DataError: a polygon of fewer than three points, or run lengths of another size; the
            message says what, the caller which annotation.
    """
    masks = _coco_masks()
    height, width = size
    if isinstance(segmentation, Mapping):
        there = tuple(segmentation["size"])
        if there != size:
            raise DataError(
                f"its mask is {there[0]}x{there[1]}, but the image is {height}x{width} "
                "(height x width)"
            )
        counts = segmentation["counts"]
        encoded = (
            masks.frPyObjects(dict(segmentation), height, width)
            if isinstance(counts, list)
            else dict(segmentation)
        )
    else:
        short = [len(polygon) for polygon in segmentation if len(polygon) < LEAST_NUMBERS]
        if short or not len(segmentation):
            points = short[0] // 2 if short else 0
            raise DataError(f"a polygon of {points} points is no area; it needs three or more")
        polygons = [[float(number) for number in polygon] for polygon in segmentation]
        encoded = masks.merge(masks.frPyObjects(polygons, height, width))
    return masks.decode(encoded).astype(bool)


def _coco_masks() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DataError(
            "COCO's outlines are drawn by pycocotools, which is not installed; type "
            "pip install 'segsuite[coco]'"
        ) from error
    return mask
