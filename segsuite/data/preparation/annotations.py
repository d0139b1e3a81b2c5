"""COCO-style annotation files, read once and kept small."""

import json
from array import array
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from segsuite.core.errors import DataError

_NEEDED = {"id", "image_id", "category_id", "segmentation"}


class Region(NamedTuple):
    """An annotation: which class, and which pixels (polygons as arrays, or run lengths)."""

    id: int
    category: int
    segmentation: Any


@dataclass(frozen=True)
class Annotations:
    """A file's images and their regions, in the file's order.

    Attributes:
        images: by id, the image's folder and file name (`val2017/000000000139`), height and width.
        regions: by image id.
        strays: ids of annotations whose image the file does not list.
        categories: their names by id, as the file lists them.
    """

    source: Path
    images: dict[int, tuple[str, int, int]]
    regions: dict[int, list[Region]]
    strays: list[tuple[int, int]]
    categories: dict[int, str] = field(default_factory=dict)


def read_annotations(path: Path, *, only: Collection[int] | None = None) -> Annotations:
    """The file's content.

    The official files hold a hundred million numbers, which as Python objects would fill 10 GB;
    they are packed as they are read.

    Args:
        only: the categories whose annotations are wanted; all when None.

    Raises:
        DataError: the file is absent, cut short, or lacks what is needed.
    """
    if not path.is_file():
        raise DataError(f"there is no annotation file {path}")
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=partial(_packed, only=only))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not whole JSON ({error}); was its download cut short?"
        ) from error
    for key in ("images", "annotations"):
        if not isinstance(content, Mapping) or not isinstance(content.get(key), list):
            raise DataError(f"{path} has no list `{key}`; give COCO's or LVIS's annotations")
    images = dict(_image(image, path) for image in content["images"])
    regions: dict[int, list[Region]] = defaultdict(list)
    strays = []
    for annotation in content["annotations"]:
        if annotation is None:  # of a category that is not wanted
            continue
        if isinstance(annotation, Mapping):
            lacking = ", ".join(sorted(_NEEDED - annotation.keys()))
            raise DataError(f"{path}: annotation {annotation.get('id')} lacks {lacking}")
        if not isinstance(annotation, tuple):
            raise DataError(f"{path}: {str(annotation)[:40]} is no annotation")
        image, region = annotation
        if image in images:
            regions[image].append(region)
        else:
            strays.append((region.id, image))
    categories = {
        its["id"]: its.get("name", "") for its in content.get("categories") or () if "id" in its
    }
    return Annotations(path, images, dict(regions), strays, categories)


def _packed(entry: dict[str, Any], only: Collection[int] | None) -> Any:
    """Annotations as (image id, Region), their numbers packed; everything else as it is.

    None for annotations of categories that are not wanted.
    """
    if not entry.keys() >= _NEEDED:
        return entry
    if only is not None and entry["category_id"] not in only:
        return None
    shape = entry["segmentation"]
    if isinstance(shape, list):
        shape = [_numbers(polygon) for polygon in shape]
    return entry["image_id"], Region(entry["id"], entry["category_id"], shape)


def _numbers(polygon: Any) -> Any:
    """The polygon packed; as it is where it holds no numbers, which is said later, by its id."""
    try:
        return array("d", polygon)
    except (TypeError, OverflowError):
        return polygon


def _image(image: Any, path: Path) -> tuple[int, tuple[str, int, int]]:
    """Its id and what is known of it; LVIS v1 has no file names, but URLs with folder and file."""
    if not isinstance(image, Mapping) or not isinstance(image.get("id"), int):
        raise DataError(f"{path}: {str(image)[:40]} is no image with an id")
    url = image.get("coco_url", "")
    parts = url.rsplit("/", 2)[-2:] if url else ["", image.get("file_name", "")]
    name = "/".join(part for part in parts if part).rpartition(".")[0]
    if not name:
        raise DataError(f"{path}: image {image.get('id')} has neither `coco_url` nor `file_name`")
    size = image.get("height"), image.get("width")
    if not all(isinstance(side, int) and side > 0 for side in size):
        raise DataError(f"{path}: image {image.get('id')} has no height and width")
    return image["id"], (name, *size)
