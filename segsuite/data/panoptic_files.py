"""Panoptic results in COCO's format: a PNG of segments for each image, one JSON file for all.

Source: cocodataset.org/#format-results. A segment's id is red + 256 * green + 65536 * blue of its
pixels, 0 where there is none; the JSON file tells the category of each id.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import DataError, first_of
from segsuite.core.files import write_json, written_whole
from segsuite.core.labels import IGNORE
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.readers.decode import opened

_IDS = 2**24
"""As many as there are colours."""
_MEND = "write both again together, or take the PNG and JSON files of one release"


class Segment(NamedTuple):
    """An entry of `segments_info`.

    Attributes:
        id: of 1 to 2**24 - 1, unique within its image.
        category: the raw id of its class.
        area: pixels; None where the file does not tell.
        bbox: (left, top, width, height); None where the file does not tell.
        crowd: whether it is a group of things that are not told apart.
    """

    id: int
    category: int
    area: int | None = None
    bbox: tuple[int, int, int, int] | None = None
    crowd: bool = False


@dataclass(frozen=True)
class PanopticImage:
    """An entry of `annotations`: the PNG file of an image, and what its segments are."""

    image: int | str
    file: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class PanopticFile:
    """What a JSON file tells.

    Attributes:
        images: by image id, in the file's order.
        sizes: height and width by image id, of those that the file tells.
        categories: whether each is a thing, by id; empty where the file lists none, as results may.
    """

    source: Path
    images: Mapping[int | str, PanopticImage]
    sizes: Mapping[int | str, Size]
    categories: Mapping[int, bool]


def decode_panoptic_png(path: str | Path) -> NDArray[np.int32]:
    """(H, W) ids of segments, 0 where there is none.

    Raises:
        DataError: naming the file, when it cannot be decoded or has no colours.
    """
    image = opened(path)
    if image.mode not in ("RGB", "RGBA"):
        raise DataError(
            f"{path} has mode {image.mode}, but the colours of a panoptic PNG (mode RGB) are ids "
            "of segments; masks of class ids are read by data=coco_stuff164k or data=folder"
        )
    red, green, blue = (np.asarray(channel, np.int32) for channel in image.split()[:3])
    return red | green << 8 | blue << 16


def write_panoptic_png(path: Path, ids: NDArray[Any]) -> None:
    """Writes the ids of segments, (H, W), of 0 to 2**24 - 1."""
    if ids.size and not 0 <= ids.min() <= ids.max() < _IDS:
        raise DataError(
            f"{path} cannot hold the ids {ids.min()} to {ids.max()}: a panoptic PNG has room for "
            f"0 to {_IDS - 1}; number the segments of each image from 1"
        )
    colors = np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=-1)
    with written_whole(path) as beside:
        Image.fromarray(colors.astype(np.uint8)).save(beside)


def read_panoptic_json(path: str | Path) -> PanopticFile:
    """What a file tells, of truth or of results.

    Raises:
        DataError: naming the file and the entry, where it is absent, cut short or lacks what is
            needed, and for images, files or ids that come twice.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    try:
        categories = {int(c["id"]): bool(c["isthing"]) for c in content.get("categories", [])}
        sizes = {
            image["id"]: (int(image["height"]), int(image["width"]))
            for image in content.get("images", [])
            if "height" in image and "width" in image
        }
        images = [_image(entry) for entry in content["annotations"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is no panoptic JSON: {type(error).__name__} {error}; it needs `annotations: "
            "[{image_id, file_name, segments_info: [{id, category_id}, ...]}, ...]`, and of each "
            "of `categories` an id and `isthing`"
        ) from error
    for image in images:
        _check_entry(image, categories, path)
    for what, all_of_them in (
        ("image_id", [image.image for image in images]),
        ("file_name", [image.file for image in images]),
    ):
        if twice := _repeated(all_of_them):
            raise DataError(
                f"{path} lists the {what} {_listed(twice)} twice; leave one entry of each image"
            )
    return PanopticFile(path, {image.image: image for image in images}, sizes, categories)


def write_panoptic_json(
    path: Path,
    images: Iterable[PanopticImage],
    classes: ClassTable,
    *,
    sizes: Mapping[int | str, Size] | None = None,
    photos: Mapping[int | str, str] | None = None,
) -> None:
    """Writes what the PNG files of these images hold, whole or not at all.

    Args:
        sizes: height and width by image id; None writes no `images`.
        photos: names of the images' own files by image id, of those that are known.
    """
    entries = [
        {
            "image_id": image.image,
            "file_name": image.file,
            "segments_info": [
                {
                    "id": segment.id,
                    "category_id": segment.category,
                    "iscrowd": int(segment.crowd),
                    **({} if segment.area is None else {"area": segment.area}),
                    **({} if segment.bbox is None else {"bbox": list(segment.bbox)}),
                }
                for segment in image.segments
            ],
        }
        for image in images
    ]
    categories = [
        {"id": raw, "name": classes.names[c], "isthing": int(c in classes.things)}
        for c, raw in enumerate(classes.ids)
    ]
    content = {"annotations": entries, "categories": categories}
    if sizes is not None:
        named = {image: {"file_name": photo} for image, photo in (photos or {}).items()}
        content["images"] = [
            {"id": image, "height": height, "width": width, **named.get(image, {})}
            for image, (height, width) in sizes.items()
        ]
    write_json(path, content)


def read_segments(folder: Path, image: PanopticImage, file: PanopticFile) -> NDArray[np.int32]:
    """(H, W) ids of an image's PNG file, which is as its JSON file tells.

    Raises:
        DataError: naming the file, where its size, its ids or their areas are others.
    """
    path = folder / image.file
    ids = decode_panoptic_png(path)
    told = file.sizes.get(image.image, ids.shape)
    if told != ids.shape:
        raise DataError(
            f"{path} is {ids.shape[0]}x{ids.shape[1]} (height x width), but {file.source} says "
            f"{told[0]}x{told[1]} of image {image.image}; {_MEND}"
        )
    found, pixels = np.unique(ids, return_counts=True)
    areas = dict(zip(found.tolist(), pixels.tolist(), strict=True))
    areas.pop(0, None)
    where = f"`segments_info` of image {image.image} in {file.source}"
    listed = {segment.id for segment in image.segments}
    if unknown := sorted(areas.keys() - listed):
        raise DataError(f"{path} holds the ids {_listed(unknown)}, which {where} lacks; {_MEND}")
    if absent := sorted(listed - areas.keys()):
        raise DataError(
            f"{path} has no pixel of the ids {_listed(absent)}, which {where} lists; {_MEND}"
        )
    for segment in image.segments:
        if segment.area not in (None, areas[segment.id]):
            raise DataError(
                f"{path}: segment {segment.id} has {areas[segment.id]} pixels, but {where} says "
                f"`area: {segment.area}`; {_MEND}"
            )
    return ids


def segments_of_maps(
    labels: NDArray[Any], instances: NDArray[Any], classes: ClassTable, *, crowds: bool = False
) -> tuple[NDArray[np.int32], tuple[Segment, ...]]:
    """The ids of the segments of a panoptic map, from 1 on in order of classes, and their entries.

    Shapes: labels, instances (H, W) -> (H, W)

    Args:
        labels: class numbers, negative where there is none.
        instances: ids within things, above 0; ignored in stuff.
        crowds: things without an instance are crowds, as in truth; else they are no segment.
    """
    thing = np.isin(labels, list(classes.things))
    instance = np.where(thing, instances, 0).astype(np.int64)
    void = (labels < 0) | (thing & (instance == 0) & (not crowds))
    keys = np.where(void, -1, (labels.astype(np.int64) << 32) | instance)
    distinct, place, areas = np.unique(keys, return_inverse=True, return_counts=True)
    nothing = int(distinct.size > 0 and distinct[0] < 0)  # what has no segment comes first
    ids = (place.reshape(keys.shape) + (1 - nothing)).astype(np.int32)
    boxes = _boxes(ids, len(distinct) + 1 - nothing)
    segments = []
    for number, (key, area) in enumerate(
        zip(distinct[nothing:].tolist(), areas[nothing:].tolist(), strict=True), start=1
    ):
        label, instance_id = key >> 32, key & 0xFFFFFFFF
        crowd = label in classes.things and instance_id == 0
        segments.append(Segment(number, classes.ids[label], area, boxes[number], crowd))
    return ids, tuple(segments)


def maps_of_segments(
    ids: NDArray[np.int32], segments: Sequence[Segment], classes: ClassTable
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The panoptic map of segments: class numbers and instances.

    Shapes: ids (H, W) -> (H, W), (H, W)

    Args:
        segments: those of all ids above 0; categories that the class table ignores have no class.

    Raises:
        DataError: a category that the class table does not know.
    """
    number = {raw: c for c, raw in enumerate(classes.ids)}
    if unknown := classes.unknown(segment.category for segment in segments):
        raise DataError(
            f"segments have the categories {_listed(unknown)}, which the class table does not "
            "know; give the table that they were made with as data.classes=..."
        )
    rows = [(0, IGNORE, 0)]
    for segment in segments:
        label = number.get(segment.category, IGNORE)
        counted = label in classes.things and not segment.crowd
        rows.append((segment.id, label, segment.id if counted else 0))
    table = np.array(sorted(rows), np.int32)
    place = np.searchsorted(table[:, 0], ids)
    return table[place, 1], table[place, 2]


def _boxes(ids: NDArray[np.int32], count: int) -> list[tuple[int, int, int, int]]:
    """(left, top, width, height) of each of the ids 0 .. count - 1."""

    def ends(flat: NDArray[np.int32], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first and last line of each id, lines having `length` pixels."""
        line = np.arange(len(flat)) // max(length, 1)
        first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
        last[flat] = line  # of several, the last one stays
        first[flat[::-1]] = line[::-1]
        return first, last

    height, width = ids.shape
    top, bottom = ends(ids.ravel(), width)
    left, right = ends(ids.T.ravel(), height)
    boxes = np.stack([left, top, right - left + 1, bottom - top + 1], axis=1)
    return [(x, y, w, h) for x, y, w, h in boxes.tolist()]


def _image(entry: Mapping[str, Any]) -> PanopticImage:
    segments = []
    for info in entry["segments_info"]:
        box = info.get("bbox")
        segments.append(
            Segment(
                id=_whole(info["id"]),
                category=_whole(info["category_id"]),
                area=None if info.get("area") is None else _whole(info["area"]),
                bbox=None if box is None else tuple(box),
                crowd=bool(info.get("iscrowd", 0)),
            )
        )
    return PanopticImage(entry["image_id"], str(entry["file_name"]), tuple(segments))


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _check_entry(image: PanopticImage, categories: Mapping[int, bool], path: Path) -> None:
    where = f"`segments_info` of image {image.image} in {path}"
    ids = [segment.id for segment in image.segments]
    if twice := _repeated(ids):
        raise DataError(
            f"{where} lists the ids {_listed(twice)} twice; segments cannot overlap, and each "
            "needs an id of its own"
        )
    if odd := [number for number in ids if not 0 < number < _IDS]:
        raise DataError(
            f"{where} has the ids {_listed(odd)}, where a colour can be 1 to {_IDS - 1} and 0 is "
            "no segment; number the segments of each image from 1"
        )
    unknown = {segment.category for segment in image.segments} - categories.keys()
    if categories and unknown:
        raise DataError(
            f"{where} has the categories {_listed(sorted(unknown))}, which `categories` there "
            "lacks; add them, or take the file that these results were made for"
        )


def _repeated(items: Sequence[Any]) -> list[Any]:
    return [item for item, count in Counter(items).items() if count > 1]


def _listed(items: Iterable[Any]) -> str:
    return first_of([str(item) for item in items], shown=5)
