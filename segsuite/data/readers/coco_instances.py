"""COCO's instances as label maps: read from the official JSON, drawn when a sample is asked for.

Source: Türkmen and Heikkilä, "An Efficient Solution for Semantic Segmentation: ShuffleNet V2 with
Atrous Separable Convolutions" (2019), section 4.1: COCO 2017 for what is met on roads. As in its
code, later annotations cover earlier ones, crowds are painted as their class, what nothing covers
is a class of its own, and images with too little of the other classes are left out.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from segsuite.core.errors import DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.preparation.annotations import Annotations, Region, read_annotations
from segsuite.data.preparation.rasterise import coco_masks, covered, drawable, painted
from segsuite.data.readers.decode import decode_image, is_turned
from segsuite.data.readers.missing import ExpectedFiles
from segsuite.data.readers.patterns import found, layout
from segsuite.data.remembered import Memory
from segsuite.data.samples import Facts, ListedSamples, Sample, counts_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CocoSamples(ListedSamples):
    """The samples of a split; their regions are in memory, their images in files."""

    source: Path
    numbers: Sequence[int]
    images: Sequence[Path]
    sizes: Sequence[tuple[int, int]]
    regions: Sequence[Sequence[Region]]

    def __getitem__(self, index: int) -> Sample:
        """The sample; raises DataError, naming file and image, for whatever does not fit."""
        image = decode_image(self.images[index])
        if image.shape[:2] != self.sizes[index]:  # before anything of that size is drawn
            raise DataError(self._sizes_differ(index, image.shape))
        raw = self._raw(index)
        return Sample(
            id=self.ids[index],
            # The tensor keeps the decoder's memory order, so that resizing need not copy it.
            image=torch.from_numpy(image).permute(2, 0, 1),
            label=torch.from_numpy(self.classes.labels(raw, self._place(index))),
        )

    def files(self, index: int) -> tuple[Path, ...]:
        return (self.images[index], self.source)

    def inspect(self, index: int) -> Facts:
        drawn = self.sizes[index]
        try:
            size = decode_image(self.images[index]).shape[:2]
        except DataError as error:
            return Facts(None, drawn, {}, str(error))
        if size != drawn:
            return Facts(size, drawn, {}, self._sizes_differ(index, size))
        return Facts(size, drawn, counts_of(self._raw(index)))

    def only(self, indices: Sequence[int]) -> Self:
        return self.picked(indices, "numbers", "images", "sizes", "regions")

    def _raw(self, index: int) -> NDArray[np.uint16]:
        """(H, W) COCO's category ids, 0 where there is no region."""
        regions = [(region.category, region.segmentation) for region in self.regions[index]]
        return painted(regions, self.sizes[index], "last")

    def _place(self, index: int) -> str:
        return f"{self.source}: image {self.numbers[index]}"

    def _sizes_differ(self, index: int, size: Sequence[int]) -> str:
        height, width = self.sizes[index]
        turned = is_turned(self.images[index])
        hint = ": its EXIF orientation turns it; write it again without the tag" if turned else ""
        return (
            f"{self.images[index]} is {size[0]}x{size[1]}, but {self._place(index)} is "
            f"{height}x{width} (height x width){hint}"
        )


@dataclass(kw_only=True, eq=False)
class CocoInstances:
    """COCO's instances of the classes of a table, whose ids are COCO's, and 0 for the rest.

    Attributes:
        annotations: path of the annotation file below `data.root`, with `{split}`.
        images: pattern of the images below `data.root`, with `{split}` and `{id}`.
        splits: COCO's name of each split.
        least: number of pixels; images with fewer of any class but 0 are left out.
        source: where the data come from, for the message when they are not there.
        expected: how many images each split keeps, where that is known.
    """

    own_classes = None

    annotations: str
    images: str
    splits: Mapping[str, str]
    least: int = 1
    source: str = ""
    expected: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        self.least = max(self.least, 1)  # without a region there is nothing to learn
        self._looked_for = ExpectedFiles(
            {
                split: (self.annotations.replace("{split}", name), layout(self.images, name))
                for split, name in self.splits.items()
            },
            self.source,
        )

    def open(
        self, split: str, *, root: Path | None, classes: ClassTable, instances: bool, strict: bool
    ) -> CocoSamples:
        """The samples of a split; which ones are kept is counted once and then remembered.

        Raises:
            DataError: no such folder, file or split, nothing in it; categories that the file does
                not know; or (if `strict`) annotations that cannot be drawn, images that are not
                there, or another number of them than is known.
        """
        coco_masks()  # said before a file of half a gigabyte is read
        self._looked_for.check(split, root)
        path = self._file(split, root, instances)
        read = _annotations(path, set(classes.ids) - {0})
        regions, gaps = _drawable(read)
        pixels = _pixels(read, regions, classes.ids)
        numbers = sorted(number for number, count in pixels.items() if count >= self.least)
        gaps += self._miscounted(split, numbers, pixels)
        there = found(self.images, root, self.splits[split])
        ids = {number: read.images[number][0].rpartition("/")[2] for number in numbers}
        gaps += [
            f"{path}: of image {number} there is no image `{ids[number]}`"
            for number in numbers
            if ids[number] not in there
        ]
        again = _again(ids)
        gaps += [
            f"{path}: the file of image {number}, `{ids[number]}`, is that of another image too"
            for number in again
        ]
        if gaps:
            self._looked_for.complain(split, gaps, root, strict=strict)
        numbers = [n for n in numbers if ids[n] in there and n not in again]
        if not numbers:
            raise DataError(f"split `{split}` is empty: {self._looked_for.told(root)}")
        return CocoSamples(
            key=f"{path.resolve()} {self.images} {sorted(classes.ids)} {self.least}",
            source=path,
            numbers=numbers,
            ids=[ids[number] for number in numbers],
            images=[there[ids[number]] for number in numbers],
            sizes=[read.images[number][1:] for number in numbers],
            regions=[regions[number] for number in numbers],
            classes=classes,
            gaps=gaps,
        )

    def _file(self, split: str, root: Path, instances: bool) -> Path:
        if instances:
            raise DataError("data.instances=true, but this reader draws classes only; leave it out")
        path = root / self.annotations.replace("{split}", self.splits[split])
        if not path.is_file():
            raise DataError(f"there is no annotation file {path}. {self._looked_for.told(root)}")
        return path

    def _miscounted(self, split: str, numbers: list[int], pixels: Mapping[int, int]) -> list[str]:
        """Whether others kept as many; some keep those with more than the least number only."""
        more = sum(count > self.least for count in pixels.values())
        known = (self.expected or {}).get(split, len(numbers))
        if more <= known <= len(numbers):
            return []
        return [
            f"{len(numbers)} images have {self.least} pixels of the classes or more, where the "
            f"data set has {known} of them"
        ]


def _again(ids: Mapping[int, str]) -> list[int]:
    """The images whose file, without its folder, is that of one before."""
    first: dict[str, int] = {}
    return [number for number, name in ids.items() if first.setdefault(name, number) != number]


def _annotations(path: Path, categories: set[int]) -> Annotations:
    """Those of the categories; raises DataError if the file does not know one of them."""
    read = read_annotations(path, only=categories)
    absent = sorted(categories - read.categories.keys())
    if absent:
        raise DataError(
            f"{path} lists no category {absent[0]}, which the class table has; its ids are COCO's, "
            "and 0 for all the rest"
        )
    return read


def _drawable(read: Annotations) -> tuple[dict[int, list[Region]], list[str]]:
    """What can be drawn, by image; and what is wrong with the rest, by file and id."""
    gaps = [what for _, what in read.faults]
    kept: dict[int, list[Region]] = {}
    for image, regions in read.regions.items():
        for region in regions:
            segmentation, faults = drawable(region.segmentation, read.images[image][1:])
            where = f"{read.source}: annotation {region.id} of image {image}"
            gaps += [f"{where}: {wrong}" for wrong in faults]
            if segmentation is not None:
                kept.setdefault(image, []).append(region._replace(segmentation=segmentation))
    return kept, gaps


def _pixels(
    read: Annotations, regions: Mapping[int, Sequence[Region]], ids: Sequence[int]
) -> dict[int, int]:
    """How many pixels of each image any region covers; counted once for a file and its classes."""
    memory = Memory("coco_instances", f"{read.source.resolve()} {sorted(ids)}", form=2)
    stat = read.source.stat()
    stamp = [stat.st_size, stat.st_mtime_ns]
    known = {int(image): count for image, count in (memory.recall(stamp) or {}).items()}
    if known.keys() == regions.keys():
        return known
    logger.info("counting the labelled pixels of %d images (remembered) ...", len(regions))
    pixels = {
        image: covered([region.segmentation for region in of_image], read.images[image][1:])
        for image, of_image in regions.items()
    }
    memory.remember(pixels, stamp)
    return pixels
