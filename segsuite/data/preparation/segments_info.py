"""COCO's panoptic annotation files, read once, checked, kept small and remembered.

The file of train2017 has 1.3 million segments: a few numbers of each are kept, 20 MB in all.
"""

import logging
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import DataError
from segsuite.data.preparation.annotations import (
    Images,
    categories_of,
    images_of,
    read_content,
    shown,
    whole,
)
from segsuite.data.remembered import Memory

ID_LIMIT = 2**24
"""Ids of segments are colours: red + 256 * green + 65536 * blue; 0 is no segment."""

_OF_IMAGES = ("id", "height", "width", "file_name", "coco_url")
_OF_SEGMENTS = 4  # numbers: id, category, crowd, area

logger = logging.getLogger(__name__)


class SegmentsInfo(NamedTuple):
    """The segments of one image, by increasing id.

    Attributes:
        ids, categories, areas: (S,) int32; an area of -1 is not told.
        crowds: (S,) bool, things that were not told apart.
    """

    ids: NDArray[np.int32]
    categories: NDArray[np.int32]
    crowds: NDArray[np.bool_]
    areas: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PanopticAnnotations:
    """A file's annotated images, in its order.

    Attributes:
        numbers: ids of the images.
        names, masks: names of their image files and of their PNG files, without suffix; that of
            an image may begin with folders.
        sizes: (height, width) of the images.
        starts: (N + 1,) where the segments of each begin.
        segments: (S, 4) int32: id, category, crowd, area; of each image by increasing id.
        things: the categories by id, and whether the file calls them things; None where it does
            not say.
        titles: what the file calls categories, by id, of those that it names.
        faults: what is wrong with annotations, which are left out.
    """

    numbers: list[int]
    names: list[str]
    masks: list[str]
    sizes: list[tuple[int, int]]
    starts: NDArray[np.int64]
    segments: NDArray[np.int32]
    things: dict[int, bool | None]
    titles: dict[int, str]
    faults: list[str]

    def of(self, place: int) -> SegmentsInfo:
        """The segments of the image in that place of the lists."""
        rows = self.segments[self.starts[place] : self.starts[place + 1]]
        return SegmentsInfo(rows[:, 0], rows[:, 1], rows[:, 2] > 0, rows[:, 3])


def panoptic_annotations(path: Path) -> PanopticAnnotations:
    """The file's content, as it was remembered if the file is as it was.

    Raises:
        DataError: the file is absent, cut short or no panoptic annotations; an image or category
            that is not described as it must be, or comes twice.
    """
    memory, stamp = Memory("coco_panoptic", str(path.resolve()), form=2), None
    if path.is_file():
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        if (known := memory.recall(stamp)) is not None:
            return _recalled(known)
        logger.info("reading %s (remembered) ...", path)
    read = _read(path)
    memory.remember(_plain(read), stamp)
    return read


def _read(path: Path) -> PanopticAnnotations:
    content = read_content(path, _packed)
    images = images_of(content["images"], path)
    categories = categories_of(content.get("categories"), path)
    kept: dict[int, tuple[str, NDArray[np.int32]]] = {}
    faults = []
    for place, annotation in enumerate(content["annotations"]):
        where = f"{path}: entry {place} of `annotations`"
        if not isinstance(annotation, Mapping):
            raise DataError(
                f"{where} has no list `segments_info`; give panoptic annotations, such as "
                "panoptic_val2017.json, as data.reader.annotations=FILE"
            )
        if (fault := _fault(annotation, where, images, categories, kept)) is not None:
            faults.append(fault)
            continue
        segments = np.array(annotation["segments_info"], np.int32).reshape(-1, _OF_SEGMENTS)
        order = np.argsort(segments[:, 0], kind="stable")
        mask = annotation["file_name"].removesuffix(".png")
        kept[whole(annotation["image_id"])] = (mask, segments[order])
    told = {whole(annotation.get("image_id")) for annotation in content["annotations"]}
    faults += [
        f"{path}: image {number} has no entry in `annotations`; one is expected"
        for number in images
        if number not in told
    ]
    rows = [segments for _, segments in kept.values()]
    return PanopticAnnotations(
        numbers=[*kept],
        names=[images[number][0] for number in kept],
        masks=[mask for mask, _ in kept.values()],
        sizes=[images[number][1:] for number in kept],
        starts=np.cumsum([0, *map(len, rows)]),
        segments=np.concatenate([*rows, np.zeros((0, _OF_SEGMENTS), np.int32)]),
        things=dict.fromkeys(categories) | _things(content.get("categories")),
        titles={number: name for number, name in categories.items() if name.strip()},
        faults=faults,
    )


def _packed(entry: dict[str, Any]) -> Any:
    """Segments as numbers, of images what is looked at; what is odd is left, and said later."""
    if isinstance(segments := entry.get("segments_info"), list):
        if all(type(segment) is tuple for segment in segments):
            entry["segments_info"] = array("i", chain.from_iterable(segments))
        return entry
    if "category_id" in entry:
        return _segment(entry)
    if "width" in entry:
        return {key: entry[key] for key in _OF_IMAGES if key in entry}
    return entry


def _segment(entry: dict[str, Any]) -> Any:
    """(id, category, crowd, area), or the entry where one of them cannot be."""
    number, category = whole(entry.get("id")), whole(entry["category_id"])
    crowd, area = whole(entry.get("iscrowd", 0)), whole(entry.get("area", -1))
    if number is None or category is None or crowd not in (0, 1) or area is None:
        return entry
    if not (0 < number < ID_LIMIT and 0 < category < ID_LIMIT and -1 <= area < 2**31):
        return entry
    return number, category, crowd, area


def _fault(
    annotation: Mapping[str, Any],
    where: str,
    images: Images,
    categories: Collection[int],
    before: Collection[int],
) -> str | None:
    """What keeps an annotation from being that of an image."""
    image, segments = whole(annotation.get("image_id")), annotation.get("segments_info")
    if image is None or image not in images:
        return (
            f"{where} is of image {shown(annotation.get('image_id'))}, which `images` of the file "
            "does not list"
        )
    where = f"{where}, of image {image},"
    if image in before:
        return f"{where} is the second one of this image; one is expected"
    if not isinstance(annotation.get("file_name"), str):
        return f"{where} has no `file_name` of a PNG, but {shown(annotation.get('file_name'))}"
    if not isinstance(segments, array):
        return f"{where} {_odd(segments)}"
    ids = segments[::_OF_SEGMENTS]
    if len(set(ids)) < len(ids):
        twice = next(number for place, number in enumerate(ids) if number in ids[:place])
        return f"{where} has two entries of segment {twice} in `segments_info`; one is expected"
    if categories and (other := set(segments[1::_OF_SEGMENTS]) - set(categories)):
        return f"{where} has a segment of category {min(other)}, which the file does not list"
    return None


def _odd(segments: Any) -> str:
    """What is wrong with the list of segments."""
    if not isinstance(segments, list):
        return f"has no list `segments_info`, but {shown(segments)}"
    place, odd = next((p, s) for p, s in enumerate(segments) if not isinstance(s, tuple))
    told = {key: odd.get(key) for key in ("id", "category_id")} if isinstance(odd, dict) else odd
    return (
        f"has {shown(told)} as entry {place} of `segments_info`; expected are whole numbers as "
        f"`id` (1 to {ID_LIMIT - 1}), `category_id` (1 or more) and `area`, and 0 or 1 as "
        "`iscrowd`"
    )


def _things(categories: Any) -> dict[int, bool]:
    """Whether categories are things, of those for which the file says so."""
    told = {whole(entry["id"]): entry.get("isthing") for entry in categories or ()}
    return {number: bool(thing) for number, thing in told.items() if thing in (0, 1)}


def _plain(read: PanopticAnnotations) -> dict[str, Any]:
    return vars(read) | {
        "starts": read.starts.tolist(),
        "segments": read.segments.ravel().tolist(),
        "things": [*read.things.items()],
        "titles": [*read.titles.items()],
    }


def _recalled(known: dict[str, Any]) -> PanopticAnnotations:
    return PanopticAnnotations(
        **known
        | {
            "sizes": [(height, width) for height, width in known["sizes"]],
            "starts": np.array(known["starts"], np.int64),
            "segments": np.array(known["segments"], np.int32).reshape(-1, _OF_SEGMENTS),
            "things": dict(known["things"]),
            "titles": dict(known["titles"]),
        }
    )
