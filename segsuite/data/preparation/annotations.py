"""COCO-style annotation files, read once, checked and kept small."""

import json
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from segsuite.core.errors import DataError

_NEEDED = {"id", "image_id", "category_id", "segmentation"}
_MOST_PIXELS = 2**30
"""Of an image: more is no image that anybody has annotated, and would fill the memory."""

_LONGEST_NAME = 200
"""Bytes of a folder or file name, so that a suffix still fits a file system's 255."""


Images = dict[int, tuple[str, int, int]]
"""Folder and file name (`val2017/000000000139`), height and width of each image by its id."""


class Region(NamedTuple):
    """An annotation: which class, and which pixels (polygons as arrays, or run lengths)."""

    id: int
    category: int
    segmentation: Any


class _Unwanted(NamedTuple):
    """Of an annotation that is not wanted, all that is looked at."""

    category: int


@dataclass(frozen=True)
class Annotations:
    """A file's images and their regions, in the file's order.

    Attributes:
        images: what is known of each image.
        regions: the regions of each image by its id.
        faults: annotations that belong to nothing, by the kind of fault, and what is to be told:
            an image or category that the file does not list, an id that is no whole number or was
            there before.
        categories: names of the categories by id, as the file lists them.
    """

    source: Path
    images: Images
    regions: dict[int, list[Region]]
    faults: list[tuple[str, str]]
    categories: dict[int, str] = field(default_factory=dict)


def read_annotations(path: Path, *, only: Collection[int] | None = None) -> Annotations:
    """The file's content.

    The official files hold a hundred million numbers, which as Python objects would fill 10 GB;
    they are packed as they are read.

    Args:
        only: the categories whose annotations are wanted; all when None.

    Raises:
        DataError: the file is absent, cut short, or lacks what is needed; an image or a category
            that is not described as it must be, or comes twice.
    """
    pack = partial(_packed, only=only, unwanted=cache(_Unwanted))
    content = read_content(path, pack)
    images = images_of(content["images"], path)
    categories = categories_of(content.get("categories"), path)
    regions: dict[int, list[Region]] = defaultdict(list)
    faults: list[tuple[str, str]] = []
    seen: set[int] = set()
    for place, annotation in enumerate(content["annotations"]):
        where = f"{path}: entry {place} of `annotations`"
        wrong = _fault(annotation, where, images, categories, seen)
        if wrong is not None:
            faults.append(wrong)
        elif not isinstance(annotation, _Unwanted):
            image, region = annotation
            seen.add(region.id)
            regions[image].append(region)
    return Annotations(path, images, dict(regions), faults, categories)


def read_content(path: Path, pack: Callable[[dict[str, Any]], Any]) -> Mapping[str, Any]:
    """The file's content, which has lists `images` and `annotations`.

    Args:
        pack: what is kept in place of each object of the file, innermost first.

    Raises:
        DataError: the file is absent, no whole JSON, or has not these lists.
    """
    if not path.is_file():
        raise DataError(f"there is no annotation file {path}")
    try:
        with path.open(encoding="utf-8-sig") as file:  # some editors begin with a byte order mark
            content = json.load(file, object_hook=pack)
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits
        raise DataError(
            f"{path} is not whole JSON ({error}); was its download cut short?"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    for key in ("images", "annotations"):
        if not isinstance(content, Mapping) or not isinstance(content.get(key), list):
            raise DataError(f"{path} has no list `{key}`; give COCO's or LVIS's annotations")
    return content


def _packed(entry: dict[str, Any], only: Collection[int] | None, unwanted: Any) -> Any:
    """Annotations as (image id, Region), their numbers packed; everything else as it is.

    What is odd about an annotation is left as it is too, and said later with its place.
    """
    if not entry.keys() >= _NEEDED:
        return entry
    number, image, category = (whole(entry[key]) for key in ("id", "image_id", "category_id"))
    if number is None or image is None or category is None:
        return entry
    if only is not None and category not in only:
        return unwanted(category)
    shape = entry["segmentation"]
    if isinstance(shape, list):
        shape = [_numbers(polygon) for polygon in shape]
    return image, Region(number, category, shape)


def _numbers(polygon: Any) -> Any:
    """The polygon packed; as it is where it holds no numbers, which is said later, by its id."""
    try:
        return array("d", polygon)
    except (TypeError, OverflowError):
        return polygon


def _fault(
    annotation: Any,
    where: str,
    images: Collection[int],
    categories: Collection[int],
    seen: Collection[int],
) -> tuple[str, str] | None:
    """The kind of fault, and what keeps an annotation from belonging to an image and a class.

    Raises:
        DataError: it is none at all.
    """
    unlisted = "which the file does not list"
    if isinstance(annotation, _Unwanted):
        if not categories or annotation.category in categories:
            return None
        return "unknown category", f"{where} is of category {annotation.category}, {unlisted}"
    if isinstance(annotation, Mapping):
        if lacking := ", ".join(sorted(_NEEDED - annotation.keys())):
            raise DataError(f"{where}: annotation {shown(annotation.get('id'))} lacks {lacking}")
        odd = next(k for k in ("id", "image_id", "category_id") if whole(annotation[k]) is None)
        return "id that is no number", (
            f"{where}: annotation {shown(annotation['id'])} has `{odd}: "
            f"{shown(annotation[odd])}`, where a whole number is expected"
        )
    if not isinstance(annotation, tuple):
        raise DataError(f"{where}: {shown(annotation)} is no annotation")
    image, region = annotation
    where = f"{where}: annotation {region.id}"
    if region.id in seen:
        return "id given twice", f"{where} was there before; each id is expected once"
    if image not in images:
        return "image not listed", f"{where} is of image {image}, {unlisted}"
    if categories and region.category not in categories:
        return "unknown category", f"{where} is of category {region.category}, {unlisted}"
    return None


def images_of(entries: list[Any], path: Path) -> Images:
    """What is known of each image; raises DataError where one is not described or comes twice."""
    images: Images = {}
    names: dict[str, int] = {}
    for place, entry in enumerate(entries):
        number, image = _image(entry, f"{path}: entry {place} of `images`")
        if number in images:
            raise DataError(f"{path}: entry {place} of `images`: image {number} was there before")
        if (other := names.setdefault(image[0], number)) != number:
            raise DataError(
                f"{path}: entry {place} of `images`: image {number} has the file of image {other}, "
                f"{image[0]}; each image is expected once"
            )
        images[number] = image
    return images


def _image(image: Any, where: str) -> tuple[int, tuple[str, int, int]]:
    """Its id and what is known of it; LVIS v1 has no file names, but URLs with folder and file."""
    number = whole(image.get("id")) if isinstance(image, Mapping) else None
    if number is None:
        raise DataError(f"{where}: {shown(image)} is no image with an id, a whole number")
    where = f"{where}: image {number}"
    for key in ("coco_url", "file_name"):
        if not isinstance(image.get(key, ""), str | None):
            raise DataError(f"{where} has `{key}: {shown(image[key])}`, where text is expected")
    url = image.get("coco_url")
    parts = url.rsplit("/", 2)[-2:] if url else [image.get("file_name") or ""]
    name = _without_suffix("/".join(part for part in parts if part), where)
    size = [whole(image.get(side)) for side in ("height", "width")]
    if not all(side is not None and side > 0 for side in size):
        told = ", ".join(f"{side}: {shown(image.get(side))}" for side in ("height", "width"))
        raise DataError(f"{where} has no height and width above 0, but {told}")
    if size[0] * size[1] > _MOST_PIXELS:
        raise DataError(f"{where} has {size[0]}x{size[1]} pixels, more than {_MOST_PIXELS:,}")
    return number, (name, *size)


def _without_suffix(file: str, where: str) -> str:
    """The path without its suffix, which masks get another one of, below a folder of theirs."""
    name = file.rpartition(".")[0]
    if not file:
        raise DataError(f"{where} has neither `coco_url` nor `file_name`")
    parts = PurePosixPath(name).parts
    fine = parts and not name.startswith("/") and not name.endswith("/") and ".." not in parts
    if not fine or not name.isprintable() or any(len(p.encode()) > _LONGEST_NAME for p in parts):
        raise DataError(
            f"{where}: `{shown(file)}` is no name of an image file below a folder, such as "
            "000000000139.jpg"
        )
    return name


def categories_of(entries: Any, path: Path) -> dict[int, str]:
    """Names by id; raises DataError where one is not described as it must be or comes twice."""
    if not isinstance(entries, list | None):
        raise DataError(f"{path}: `categories: {shown(entries)}` is no list of categories")
    categories: dict[int, str] = {}
    for place, entry in enumerate(entries or ()):
        where = f"{path}: entry {place} of `categories`"
        number = whole(entry.get("id")) if isinstance(entry, Mapping) else None
        name = entry.get("name", "") if isinstance(entry, Mapping) else None
        if number is None or not isinstance(name, str):
            raise DataError(f"{where}: {shown(entry)} is no category with an id and a name")
        if number in categories:
            raise DataError(f"{where}: category {number} was there before")
        categories[number] = name
    return categories


def whole(value: Any) -> int | None:
    """The whole number that a JSON value is, 3.0 among them; None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def shown(value: Any) -> str:
    """A value as JSON has it, for a message: not longer than a few words."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):  # what was packed
        text = "an annotation" if isinstance(value, tuple) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."
