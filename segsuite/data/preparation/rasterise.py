"""COCO's outlines and run lengths to masks, and several of them to one map of ids."""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import MissingExtra

Outline = Sequence[Sequence[float]]
"""Polygons, each x0, y0, x1, y1, ...; their union is the region."""

Overlap = Literal["first", "smallest", "last"]
"""Which of two regions has a pixel: the first of the file (ESSNet's), the smaller, or the last."""

LEAST_NUMBERS = 6
"""Of a polygon: three points."""

_BEYOND = 1000
"""Pixels by which an outline may leave the image, or the image's longer side if that is more."""

_LONGEST = 2**22
"""Pixels along an outline: no region is that ragged, and pycocotools holds a list of them."""


def drawable(segmentation: Any, size: tuple[int, int]) -> tuple[Any, list[str]]:
    """What can be drawn of an annotation of an image of `size` (height, width), and the faults.

    pycocotools checks nothing: it reads and writes where a number points to. All that it is given
    has been through here.

    Returns:
        The segmentation without the polygons that are no area, None when nothing is left of it;
        and one fault for each thing that was left out.
    """
    if isinstance(segmentation, Mapping):
        wrong = _fault_of_runs(segmentation, size)
        runs = {"size": list(size), "counts": segmentation.get("counts")}
        return (None, [wrong]) if wrong else (runs, [])
    if segmentation is not None and not isinstance(segmentation, list):
        return None, [f"{_told(segmentation)} is neither a list of polygons nor run lengths"]
    if not segmentation:
        return None, ["it has no polygon"]
    if any(isinstance(number, int | float) for number in segmentation):
        return None, ["it is a list of numbers; expected is a list of such lists, one a polygon"]
    faults = [_fault_of_polygon(polygon, size) for polygon in segmentation]
    if not any(faults):
        return segmentation, []
    kept = [polygon for polygon, wrong in zip(segmentation, faults, strict=True) if wrong is None]
    return kept or None, [wrong for wrong in faults if wrong is not None]


def _fault_of_polygon(polygon: Any, size: tuple[int, int]) -> str | None:
    if not isinstance(polygon, array):  # what could not be read as numbers
        return f"{_told(polygon)} is no polygon"
    if len(polygon) < LEAST_NUMBERS:
        return f"a polygon of {len(polygon) // 2} points is no area; it needs three or more"
    if len(polygon) % 2 or not all(map(math.isfinite, polygon)):
        return "a polygon has half a point, or a coordinate that is no number"
    x, y, (height, width) = polygon[::2], polygon[1::2], size
    left, top, right, bottom = min(x), min(y), max(x), max(y)
    beyond = max(_BEYOND, *size)
    far = min(left, top) < -beyond or right > width + beyond or bottom > height + beyond
    if far or right < 0 or bottom < 0 or left > width or top > height:
        return (
            f"a polygon from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) does not belong to an "
            f"image of {height}x{width} (height x width)"
        )
    if len(x) * max(right - left, bottom - top) > _LONGEST:  # as long as it can be at most
        points = np.frombuffer(polygon).reshape(-1, 2)
        length = np.abs(points - np.roll(points, 1, axis=0)).max(1).sum()
        if length > _LONGEST:
            return f"a polygon has an outline of {length:,.0f} pixels, more than {_LONGEST:,}"
    return None


def _fault_of_runs(runs: Mapping[str, Any], size: tuple[int, int]) -> str | None:
    given = runs.get("size")
    there = tuple(given) if isinstance(given, list) else ()
    if there != size:
        told = "x".join(map(str, there)) if 0 < len(there) < 4 else "of no size"
        return f"its mask is {told}, but the image is {size[0]}x{size[1]} (height x width)"
    counts = runs.get("counts")
    lengths = unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list | np.ndarray) or not all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0 for n in lengths
    ):
        return "its run lengths cannot be read"
    total = int(sum(lengths))
    if total != size[0] * size[1]:
        return f"its runs cover {total} pixels, but the image has {size[0] * size[1]}"
    return None


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def unpacked(text: str) -> NDArray[np.int64] | None:
    """The run lengths that COCO's compressed text holds; None where it is cut or garbled.

    Five bits a character, the sixth says that more follow; from the fourth number on, differences
    to the number before the last.
    """
    if not text.isascii():  # pycocotools would read the bytes of its UTF-8
        return None
    bits = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - 48
    if not len(bits) or bits.min() < 0 or bits.max() > 63 or bits[-1] & 0x20:
        return None
    ends = np.flatnonzero((bits & 0x20) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    place = np.arange(len(bits)) - np.repeat(starts, lengths)
    if place.max() > 10:
        return None
    values = np.add.reduceat((bits & 0x1F) << (5 * place), starts)
    values = np.where(bits[ends] & 0x10, values - (1 << (5 * lengths)), values)
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values


def region(segmentation: Outline | Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) the pixels of one annotation, which is `drawable`.

    Raises:
        MissingExtra: pycocotools is not installed.
    """
    return coco_masks().decode(_encoded(segmentation, size)).astype(bool)


def covered(segmentations: Iterable[Outline | Mapping[str, Any]], size: tuple[int, int]) -> int:
    """How many pixels at least one of the regions has; from run lengths, none of them drawn.

    Raises:
        MissingExtra: pycocotools is not installed.
    """
    masks = coco_masks()
    encoded = [_encoded(segmentation, size) for segmentation in segmentations]
    return int(masks.area(masks.merge(encoded)))


def _encoded(segmentation: Outline | Mapping[str, Any], size: tuple[int, int]) -> Any:
    """Run lengths, column by column, as pycocotools packs them."""
    masks = coco_masks()
    if not isinstance(segmentation, Mapping):
        polygons = [list(polygon) for polygon in segmentation]
        return masks.merge(masks.frPyObjects(polygons, *size))
    if isinstance(segmentation["counts"], list):  # not yet packed into a string
        return masks.frPyObjects(segmentation, *size)
    return dict(segmentation)


def painted(
    regions: Iterable[tuple[int, Any]], size: tuple[int, int], overlap: Overlap
) -> NDArray[np.uint16]:
    """(H, W) the id of each pixel, 0 where no region is.

    Args:
        regions: (id, segmentation) of each region, ids above 0, in the file's order.
        overlap: which of several regions a pixel of theirs belongs to.
    """
    drawn = [(number, region(segmentation, size)) for number, segmentation in regions]
    if overlap == "smallest":
        drawn.sort(key=lambda pair: int(pair[1].sum()))  # stable: the first of equals wins
    elif overlap == "last":
        drawn.reverse()
    canvas = np.zeros(size, np.uint16)
    for number, mask in reversed(drawn):  # what is painted later covers
        canvas[mask] = number
    return canvas


def coco_masks() -> Any:
    """pycocotools' mask functions.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise MissingExtra("pycocotools, which draws COCO's outlines,", "prepare") from error
    return mask
