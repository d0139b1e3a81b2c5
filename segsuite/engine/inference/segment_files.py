"""Segments in COCO's format: panoptic/NAME.png for each image, panoptic.json for all."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from torch import distributed

from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.panoptic_files import (
    PanopticImage,
    Segment,
    segments_of_maps,
    write_panoptic_json,
    write_panoptic_png,
)
from segsuite.engine.inference.answers import Segments

_DIGITS = 12
"""COCO's file names are the numbers of its images in so many digits."""


class _Written(NamedTuple):
    """An image of which there is a PNG file.

    Attributes:
        photo: the name of the image's own file; None where that is not known.
    """

    name: str
    photo: str | None
    size: Size
    segments: tuple[Segment, ...]

    @property
    def file(self) -> str:
        return f"{self.name}.png"


class SegmentFiles:
    """Writes panoptic/NAME.png in a folder, and panoptic.json once all of them are there.

    Args:
        numbered: whether ids of images are whole numbers, as readers of COCO's files expect: of
            images that are named as COCO names its own, the numbers that its truth has; else names.
    """

    def __init__(self, folder: Path, classes: ClassTable, *, numbered: bool) -> None:
        self._folder, self._classes, self._numbered = folder, classes, numbered
        self._written: list[_Written] = []

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is in the folder: nothing, if no image had segments."""
        return ("panoptic", "panoptic.json") if self._written else ()

    def write(self, name: str, segments: Segments, *, photo: str | None = None) -> None:
        """Writes the PNG file of an image; segments are on the CPU.

        Args:
            photo: the name of the image's own file.
        """
        if not self._written:  # what another run said of its files is not true of these
            (self._folder / "panoptic.json").unlink(missing_ok=True)
        labels, instances = segments.labels.numpy(), segments.instances.numpy()
        ids, entries = segments_of_maps(labels, instances, self._classes)
        written = _Written(name, photo, labels.shape, entries)
        write_panoptic_png(self._folder / "panoptic" / written.file, ids)
        self._written.append(written)

    def finish(self) -> None:
        """Writes the JSON file of all, if there are any.

        Of several processes the first one writes what all of them have; all must call it.
        """
        written, first = self._written, True
        if distributed.is_available() and distributed.is_initialized():
            first, parts = distributed.get_rank() == 0, _gathered(written)
            written = [one for own in parts for one in own]
            if len(parts) > 1:  # in the order in which one process meets them
                written.sort(key=lambda one: one.file)
        if written and first:
            self._write_json(written)

    def _write_json(self, written: Sequence[_Written]) -> None:
        names = [one.name for one in written]
        ids = _numbers(names) if self._numbered else names
        pairs = list(zip(ids, written, strict=True))
        write_panoptic_json(
            self._folder / "panoptic.json",
            [PanopticImage(number, one.file, one.segments) for number, one in pairs],
            self._classes,
            sizes={number: one.size for number, one in pairs},
            photos={number: one.photo for number, one in pairs if one.photo is not None},
        )


def _gathered(own: list[_Written]) -> list[list[_Written]]:
    """What each process has."""
    parts = [own] * distributed.get_world_size()
    distributed.all_gather_object(parts, own)
    return parts


def _numbers(names: Sequence[str]) -> list[int]:
    """COCO's numbers of what is named as it names its own; of the others the free ones from 1."""
    of_coco = {n: int(n) for n in names if len(n) == _DIGITS and n.isdecimal()}
    taken = set(of_coco.values())
    free = (number for number in count(1) if number not in taken)
    return [of_coco[name] if name in of_coco else next(free) for name in names]
