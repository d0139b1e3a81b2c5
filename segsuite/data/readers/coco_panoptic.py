"""COCO panoptic: PNG files whose colours are ids of segments, and a JSON file that tells of them.

Source: Kirillov et al., "Panoptic Segmentation" (CVPR 2019), and cocodataset.org/#format-data: a
segment's id is red + 256 * green + 65536 * blue, 0 where there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from segsuite.core.errors import DataError, first_of
from segsuite.data.class_table import ClassTable
from segsuite.data.panoptic_files import decode_panoptic_png
from segsuite.data.preparation.segments_info import PanopticAnnotations, panoptic_annotations
from segsuite.data.readers.decode import decode_image
from segsuite.data.readers.missing import ExpectedFiles
from segsuite.data.readers.patterns import found, layout
from segsuite.data.samples import Facts, ListedSamples, Sample, counts_of
from segsuite.data.segments import run_starts, segments_of

_MEND = (
    "give PNG and JSON files of one release, or leave out what does not fit with data.verify=true "
    "data.strict=false"
)


@dataclass(frozen=True, kw_only=True)
class PanopticSamples(ListedSamples):
    """The samples of a split; what is known of their segments is in memory, the rest in files."""

    source: Path
    images: Sequence[Path]
    masks: Sequence[Path]
    places: Sequence[int]
    annotations: PanopticAnnotations
    instances: bool

    def __getitem__(self, index: int) -> Sample:
        """The sample; raises DataError, naming the files, for whatever does not fit."""
        image, segments = decode_image(self.images[index]), self._segments(index)
        if image.shape[:2] != segments.shape:
            raise DataError(self._sizes_differ(index, image.shape, segments.shape))
        raw, ids = self._maps(index, segments)
        return Sample(
            id=self.ids[index],
            # The tensor keeps the decoder's memory order, so that resizing need not copy it.
            image=torch.from_numpy(image).permute(2, 0, 1),
            label=torch.from_numpy(self.classes.labels(raw, self.source)),
            instances=None if ids is None else torch.from_numpy(ids),
        )

    def files(self, index: int) -> tuple[Path, ...]:
        return (self.images[index], self.masks[index], self.source)

    def inspect(self, index: int) -> Facts:
        image_size = label_size = None
        try:
            image_size = decode_image(self.images[index]).shape[:2]
            segments = self._segments(index)
            label_size = segments.shape
            told = self.annotations.sizes[self.places[index]]
            if not image_size == label_size == told:
                raise DataError(self._sizes_differ(index, image_size, label_size))
            raw, ids = self._maps(index, segments)
            self._check_against_json(index, segments)
        except DataError as error:
            return Facts(image_size, label_size, {}, str(error))
        found = None if ids is None else segments_of(raw, ids)
        return Facts(image_size, label_size, counts_of(raw), segments=found)

    def only(self, indices: Sequence[int]) -> Self:
        return self.picked(indices, "images", "masks", "places")

    def _segments(self, index: int) -> NDArray[np.int32]:
        return decode_panoptic_png(self.masks[index])

    def _maps(
        self, index: int, segments: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
        """Raw ids of classes, and ids of instances where they are read.

        Shapes: segments (H, W) -> (H, W), (H, W)

        Raises:
            DataError: the PNG holds a segment that the JSON does not tell of.
        """
        info = self.annotations.of(self.places[index])
        flat = segments.ravel()
        starts = run_starts(flat)  # in a tenth of the time of looking up each pixel
        values, lengths = flat[starts], np.diff(starts, append=len(flat))
        known = np.concatenate([np.zeros(1, np.int32), info.ids])
        place = np.searchsorted(known, values).clip(max=len(known) - 1)
        if (unknown := np.unique(values[known[place] != values])).size:
            raise DataError(
                f"{self.masks[index]} holds the ids {_listed(unknown)}, which {self.source} does "
                f"not list in `segments_info` of image {self._number(index)}; {_MEND}"
            )
        ignore = np.array([self.classes.ignore], np.int32)
        raw = np.repeat(np.concatenate([ignore, info.categories])[place], lengths)
        if not self.instances:
            return raw.reshape(segments.shape), None
        things = [self.classes.ids[c] for c in self.classes.things]
        counted = np.isin(info.categories, things) & ~info.crowds
        owners = np.concatenate([np.zeros(1, np.int32), np.where(counted, info.ids, 0)])
        ids = np.repeat(owners[place], lengths)
        return raw.reshape(segments.shape), ids.reshape(segments.shape)

    def _check_against_json(self, index: int, segments: NDArray[np.int32]) -> None:
        """Raises DataError where a segment of the JSON is not in the PNG, or of another area."""
        info = self.annotations.of(self.places[index])
        values, pixels = np.unique(segments, return_counts=True)
        of_image = f"`segments_info` of image {self._number(index)} in {self.source}"
        if (absent := info.ids[~np.isin(info.ids, values)]).size:
            raise DataError(
                f"{self.masks[index]} has no pixel of the ids {_listed(absent)}, which {of_image} "
                f"lists; {_MEND}"
            )
        areas = pixels[np.searchsorted(values, info.ids)]
        differ = np.flatnonzero((info.areas >= 0) & (info.areas != areas))
        if differ.size:
            first = differ[0]
            raise DataError(
                f"{self.masks[index]}: segment {info.ids[first]} has {areas[first]} pixels, but "
                f"{of_image} says `area: {info.areas[first]}` ({differ.size} such); {_MEND}"
            )

    def _number(self, index: int) -> int:
        return self.annotations.numbers[self.places[index]]

    def _sizes_differ(self, index: int, image: Sequence[int], mask: Sequence[int]) -> str:
        height, width = self.annotations.sizes[self.places[index]]
        return (
            f"{self.images[index]} is {image[0]}x{image[1]} and {self.masks[index]} "
            f"{mask[0]}x{mask[1]} (height x width), and {self.source} says {height}x{width} of "
            f"image {self._number(index)}, where all three must be the same; {_MEND}"
        )


@dataclass(kw_only=True, eq=False)
class CocoPanoptic:
    """COCO's panoptic annotations, or others in their format.

    Attributes:
        annotations: the JSON file below `data.root`, with `{split}`.
        images, masks: patterns with `{id}` and `{split}`, of the images and of the PNG files.
        splits: what stands at `{split}`, by split.
        source: where the data come from, for the message when they are not there.
        expected: how many samples each split has, where that is known.
        same_names: whether categories must be called as in the class table, capitals, hyphens and
            underscores aside; false where your own table renames them. A file may name none.
    """

    own_classes = None

    annotations: str
    images: str
    masks: str
    splits: Mapping[str, str]
    source: str = ""
    expected: Mapping[str, int] | None = None
    same_names: bool = True

    def __post_init__(self) -> None:
        self._looked_for = ExpectedFiles(
            {
                split: (
                    self.annotations.replace("{split}", name),
                    layout(self.images, name),
                    layout(self.masks, name),
                )
                for split, name in self.splits.items()
            },
            self.source,
        )

    def open(
        self, split: str, *, root: Path | None, classes: ClassTable, instances: bool, strict: bool
    ) -> PanopticSamples:
        """The samples of a split; the JSON file is read once and then remembered.

        Raises:
            DataError: no such folder, file or split, nothing in it; a class table that is not the
                file's; or (if `strict`) annotations that do not fit, images or PNG files that are
                not there, or another number of them than is known.
        """
        self._looked_for.check(split, root)
        name = self.splits[split]
        path = root / self.annotations.replace("{split}", name)
        if not path.is_file():
            raise DataError(f"there is no annotation file {path}. {self._looked_for.told(root)}")
        read = panoptic_annotations(path)
        _check_table(read, classes, path, instances=instances)
        if self.same_names:
            _check_names(read, classes, path)
        images, masks = found(self.images, root, name), found(self.masks, root, name)
        kept, gaps = _files(read, images, masks, path)
        gaps = [*read.faults, *gaps]
        known = (self.expected or {}).get(split, len(kept))
        if len(kept) != known:
            gaps.append(f"{len(kept)} images were found where the data set has {known}")
        if gaps:
            self._looked_for.complain(split, gaps, root, strict=strict)
        if not kept:
            raise DataError(f"split `{split}` is empty: {self._looked_for.told(root)}")
        return PanopticSamples(
            key=f"{path.resolve()} {self.images} {self.masks} {classes.ignore} "
            f"{sorted(classes.ids[c] for c in classes.things) if instances else 'classes'}",
            ids=[image for image, _, _ in kept],
            classes=classes,
            gaps=gaps,
            source=path,
            images=[images[image] for image, _, _ in kept],
            masks=[masks[mask] for _, mask, _ in kept],
            places=[place for _, _, place in kept],
            annotations=read,
            instances=instances,
        )


def _files(
    read: PanopticAnnotations, images: Mapping[str, Path], masks: Mapping[str, Path], path: Path
) -> tuple[list[tuple[str, str, int]], list[str]]:
    """Image, PNG file and place of each annotation that has both, by the keys of the two mappings.

    And what to say of the others.
    """
    kept, gaps, taken, drawn = [], [], {}, {}
    for place, (image, mask) in enumerate(zip(read.names, read.masks, strict=True)):
        number = read.numbers[place]
        # Folders are those of a URL in COCO's own files.
        image = image if image in images else image.rpartition("/")[2]
        pairs = (("image", image, images), ("PNG file", mask, masks))
        if absent := [f"{kind} `{name}`" for kind, name, there in pairs if name not in there]:
            gaps += [f"{path}: of image {number} there is no {what}" for what in absent]
        elif (other := taken.setdefault(image, number)) != number:
            gaps.append(f"{path}: the file of image {number}, `{image}`, is that of {other} too")
        elif (other := drawn.setdefault(mask, number)) != number:
            gaps.append(
                f"{path}: the annotations of the images {other} and {number} have one `file_name`, "
                f"`{mask}.png`; each image is expected to have a PNG file of its own"
            )
        else:
            kept.append((image, mask, place))
    return sorted(kept), gaps


def _check_table(
    read: PanopticAnnotations, classes: ClassTable, path: Path, *, instances: bool
) -> None:
    """Raises DataError where the class table is another one than that of the file."""
    if classes.ignore is None:
        raise DataError(
            "panoptic files have pixels of no segment, and the class table has no id for them; "
            "write `ignore: 0` there"
        )
    if unknown := classes.unknown(np.unique(read.segments[:, 1]).tolist()):
        raise DataError(
            f"{path} has segments of the categories {_listed(unknown)}, which the class table does "
            "not know; give the table of this file as data.classes=FILE, or list them there under "
            "`ignored`"
        )
    for c, number in enumerate(classes.ids if instances else ()):
        thing, ours = read.things.get(number), c in classes.things
        if thing is not None and thing != ours:
            kinds = ("stuff", "a thing")
            raise DataError(
                f"category {number} (`{classes.names[c]}`) is {kinds[thing]} in {path} and "
                f"{kinds[ours]} in the class table; write `thing: {str(thing).lower()}` there"
            )


def _check_names(read: PanopticAnnotations, classes: ClassTable, path: Path) -> None:
    """Raises DataError where the file calls a category otherwise than the class table does."""
    for number, ours in zip(classes.ids, classes.names, strict=True):
        theirs = read.titles.get(number, ours)
        if _plain(theirs) != _plain(ours):
            raise DataError(
                f"category {number} is `{theirs}` in {path} and `{ours}` in the class table; give "
                "the table of this file as data.classes=FILE, or, where your table calls the same "
                "class so, type data.reader.same_names=false"
            )


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _listed(ids: Any) -> str:
    return first_of([str(number) for number in ids], shown=5)
