"""COCO's outlines and run lengths to masks, and several of them to one map of ids."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import DataError

Outline = Sequence[Sequence[float]]
"""Polygons, each x0, y0, x1, y1, ...; their union is the region."""

Overlap = Literal["first", "smallest", "last"]
"""Which of two regions has a pixel: the first of the file (ESSNet's), the smaller, or the last."""

LEAST_NUMBERS = 6
"""Of a polygon: three points."""


def fault(segmentation: Outline | Mapping[str, Any], size: tuple[int, int]) -> str | None:
    """What keeps an annotation of an image of `size` (height, width) from being drawn."""
    if isinstance(segmentation, Mapping):
        there = tuple(segmentation.get("size", ()))
        if there == size and "counts" in segmentation:
            return None
        shown = "x".join(map(str, there))
        return f"its mask is {shown}, but the image is {size[0]}x{size[1]} (height x width)"
    if not len(segmentation):
        return "it has no polygon"
    least = min(len(polygon) for polygon in segmentation)
    if least < LEAST_NUMBERS:
        return f"a polygon of {least // 2} points is no area; it needs three or more"
    return None


def region(segmentation: Outline | Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) the pixels of one annotation, which has no `fault`.

    Raises:
        DataError: pycocotools is not installed.
    """
    masks = coco_masks()
    height, width = size
    if isinstance(segmentation, Mapping):
        encoded = dict(segmentation)
        if isinstance(encoded["counts"], list):  # not yet packed into a string
            encoded = masks.frPyObjects(encoded, height, width)
    else:
        polygons = [list(polygon) for polygon in segmentation]
        encoded = masks.merge(masks.frPyObjects(polygons, height, width))
    return masks.decode(encoded).astype(bool)


def painted(
    regions: Iterable[tuple[int, Any]], size: tuple[int, int], overlap: Overlap
) -> NDArray[np.uint16]:
    """(H, W) the id of each pixel, 0 where no region is.

    Args:
        regions: (id, segmentation), ids above 0, in the file's order.
        overlap: whose a pixel of several regions is.
    """
    drawn = [(number, region(segmentation, size)) for number, segmentation in regions]
    if overlap == "smallest":
        drawn.sort(key=lambda its: int(its[1].sum()))  # stable: the first of equals wins
    elif overlap == "last":
        drawn.reverse()
    canvas = np.zeros(size, np.uint16)
    for number, mask in reversed(drawn):  # what is painted later covers
        canvas[mask] = number
    return canvas


def coco_masks() -> Any:
    """pycocotools' mask functions.

    Raises:
        DataError: it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DataError(
            "COCO's outlines are drawn by pycocotools, which is not installed; type "
            "pip install 'segsuite[prepare]'"
        ) from error
    return mask
