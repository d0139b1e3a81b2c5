"""Segments in COCO's format: panoptic/NAME.png for each image, panoptic.json for all."""

from pathlib import Path

from torch import distributed

from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.panoptic_files import (
    PanopticImage,
    segments_of_maps,
    write_panoptic_json,
    write_panoptic_png,
)
from segsuite.engine.inference.answers import Segments

_DIGITS = 12
"""COCO's file names are the numbers of its images in so many digits."""

_Written = tuple[list[PanopticImage], dict[int | str, Size]]


class SegmentFiles:
    """Writes panoptic/NAME.png in a folder, and panoptic.json once all of them are there.

    Ids of images are their names; of those that are named as COCO names its own, the numbers that
    its truth has.
    """

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        self._folder, self._classes = folder, classes
        self._images: list[PanopticImage] = []
        self._sizes: dict[int | str, Size] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is in the folder: nothing, if no image had segments."""
        return ("panoptic", "panoptic.json") if self._images else ()

    def write(self, name: str, segments: Segments) -> None:
        """Writes the PNG file of an image; segments are on the CPU."""
        if not self._images:  # what another run said of its files is not true of these
            (self._folder / "panoptic.json").unlink(missing_ok=True)
        labels, instances = segments.labels.numpy(), segments.instances.numpy()
        ids, entries = segments_of_maps(labels, instances, self._classes)
        image, file = _id(name), f"{name}.png"
        write_panoptic_png(self._folder / "panoptic" / file, ids)
        self._images.append(PanopticImage(image, file, entries))
        self._sizes[image] = labels.shape

    def finish(self) -> None:
        """Writes the JSON file of all, if there are any.

        Of several processes the first one writes what all of them have; all must call it.
        """
        parts, first = [(self._images, self._sizes)], True
        if distributed.is_available() and distributed.is_initialized():
            first, parts = distributed.get_rank() == 0, _gathered(parts[0])
        images = [image for own, _ in parts for image in own]
        if len(parts) > 1:  # in the order in which one process meets them
            images.sort(key=lambda image: image.file)
        if images and first:
            sizes = {name: size for _, own in parts for name, size in own.items()}
            sizes = {image.image: sizes[image.image] for image in images}
            path = self._folder / "panoptic.json"
            write_panoptic_json(path, images, self._classes, sizes=sizes)


def _gathered(own: _Written) -> list[_Written]:
    """What each process has."""
    parts = [own] * distributed.get_world_size()
    distributed.all_gather_object(parts, own)
    return parts


def _id(name: str) -> int | str:
    return int(name) if len(name) == _DIGITS and name.isdecimal() else name
