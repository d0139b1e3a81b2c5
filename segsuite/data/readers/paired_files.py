"""Images and masks in files, paired by id: every data set that is unpacked on a disk."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.readers.decode import (
    IMAGE_SUFFIXES,
    MASK_SUFFIXES,
    decode_image,
    is_turned,
)
from segsuite.data.readers.instance_files import InstanceFiles
from segsuite.data.readers.mask_values import MaskReader, MaskValues
from segsuite.data.readers.missing import ExpectedFiles, pattern_hint
from segsuite.data.readers.own_splits import settled
from segsuite.data.readers.patterns import folder_of, found, layout
from segsuite.data.readers.splits import Part, Split, check_folders, chosen, is_list, why_none
from segsuite.data.samples import Facts, ListedSamples, Sample, counts_of
from segsuite.data.segments import segments_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PairedSamples(ListedSamples):
    """The samples of a split, read from files on demand."""

    images: Sequence[Path]
    masks: Sequence[Path]
    read_mask: MaskReader
    white: float | None = None
    instance_files: Sequence[Path] = ()
    instances: InstanceFiles | None = None

    def __getitem__(self, index: int) -> Sample:
        """The sample; raises DataError, naming the file, for whatever does not fit."""
        image, raw = self._image(self.images[index]), self.read_mask(self.masks[index])
        if image.shape[:2] != raw.shape:
            raise DataError(self._sizes_differ(index, image.shape, raw.shape))
        raw, ids = self._paired(index, raw)
        return Sample(
            id=self.ids[index],
            # The tensor keeps the decoder's memory order, so that resizing need not copy it.
            image=torch.from_numpy(image).permute(2, 0, 1),
            label=torch.from_numpy(self.classes.labels(raw, self.masks[index])),
            instances=None if ids is None else torch.from_numpy(ids),
        )

    def _image(self, path: Path) -> NDArray[np.uint8]:
        return decode_image(path, white=self.white)

    def _sizes_differ(self, index: int, image: Sequence[int], mask: Sequence[int]) -> str:
        """What to say of it; that one of them is turned by its tag is the usual reason."""
        hint = ""
        if is_turned(self.images[index]) != is_turned(self.masks[index]):
            hint = (
                ": it is turned upright by its EXIF orientation, and its mask is not (or the other "
                "way round); turn the mask too, or write the image again without the tag"
            )
        return _differ(self.images[index], image, mask) + hint

    def _paired(
        self, index: int, raw: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.int32] | None]:
        """Raw ids and instance ids, where these are read; raises DataError if they do not fit."""
        if self.instances is None:
            return raw, None
        path, mask = self.instance_files[index], self.masks[index]
        ids = self.instances.decode(path)
        if ids.shape != raw.shape:
            raise DataError(_differ(path, ids.shape, raw.shape))
        return self.instances.joined(raw, ids, self.classes, path=path, mask=mask), ids

    def files(self, index: int) -> tuple[Path, ...]:
        more = self.instance_files[index : index + 1]
        return (self.images[index], self.masks[index], *more)

    def inspect(self, index: int) -> Facts:
        image, fault = _tried(self._image, self.images[index])
        raw, mask_fault = _tried(self.read_mask, self.masks[index])
        pair, pair_fault = (None, None) if raw is None else _tried(self._paired, index, raw)
        fault = fault or mask_fault or pair_fault
        if image is not None and raw is not None and image.shape[:2] != raw.shape:
            fault = self._sizes_differ(index, image.shape, raw.shape)
        elif image is not None and image.size > 3 and (image == image[0, 0]).all():
            fault = f"{self.images[index]} is one colour all over"
        size, mask = None if raw is None else raw.shape, raw
        raw, ids = (raw, None) if pair is None else pair
        return Facts(
            image_size=None if image is None else image.shape[:2],
            label_size=size,
            counts={} if raw is None else counts_of(raw),
            fault=fault,
            segments=None if ids is None else segments_of(raw, ids, before=mask),
        )

    def only(self, indices: Sequence[int]) -> Self:
        return self.picked(indices, "images", "masks", "instance_files")


@dataclass(kw_only=True, eq=False)
class PairedFiles:
    """A data set of files, described by where they lie.

    Attributes:
        images, masks: patterns below `data.root` with `{id}` and, where splits are folders,
            `{split}`; an end of `.*` means any suffix of images. Masks may have one for each split.
        splits: for each split its folder, or its list file (`*.txt`, one id a line), or its share
            of all samples (0..1), or null for what the data set has (see `own_splits.settled`).
        source: where the data come from, for the message when they are not there.
        expected: how many samples each split has, where that is known.
        instances: where instance ids are stored; None when the data have none.
        without: ids of samples that are left out, such as an image that is known to be black.
        mask_values: whether masks hold ids or colours of the class table; `auto` looks.
        white: the value that is white in grey images with more than 8 bits (see `decode_image`).
    """

    own_classes = None

    images: str
    masks: str | Mapping[str, str]
    splits: Mapping[str, Split | None]
    source: str = ""
    expected: Mapping[str, int] | None = None
    instances: InstanceFiles | None = None
    without: Sequence[str] = ()
    mask_values: MaskValues = "auto"
    white: float | None = None

    def __post_init__(self) -> None:
        images, masks, splits, white = self.images, self.masks, self.splits, self.white
        self._masks = dict.fromkeys(splits, masks) if isinstance(masks, str) else dict(masks)
        # What is null is a split that data may have, and no more.
        given = self._masks.keys() | {s for s, where in splits.items() if where is not None}
        if apart := given - (self._masks.keys() & splits.keys()):
            raise ConfigError(
                f"data.reader.masks has {', '.join(self._masks)} and data.reader.splits has "
                f"{', '.join(self.splits)}; give both for `{min(apart)}`, or one pattern for all"
            )
        for split in self._masks:
            check_folders(splits[split], (images, self._masks[split]))
        if white is not None and not white > 0:
            raise ConfigError(f"data.reader.white={white} is not above 0, which is black")
        self._found: dict[Path, dict[str, Split | Part]] = {}
        self._looked_for = ExpectedFiles(
            {
                split: [
                    layout(images, str(where or split)),
                    layout(self._masks[split], str(where or split), ".png|.tif|..."),
                ]
                for split, where in splits.items()
                if split in self._masks
            },
            self.source,
        )

    def split_names(self, root: Path | None) -> list[str]:
        """The splits that there are below `root`."""
        return list(self._settled(root)) if root is not None else []

    def _settled(self, root: Path) -> dict[str, Split | Part]:
        """Where each split is, found once; a folder of images to be tested may have no masks."""
        if root not in self._found:
            patterns = (self.images, *self._masks.values())
            splits = settled(self.splits, self.images, patterns, root)
            splits = {name: where for name, where in splits.items() if name in self._masks}
            if isinstance(test := splits.get("test"), Part) and not is_list(test):
                images, masks = self._files("test", test, root)
                if not images.keys() & masks.keys():
                    top = folder_of(self.images, root, "")
                    logger.warning("%s/%s has no masks and is left out", top, test.name)
                    del splits["test"]
            self._found[root] = splits
        return self._found[root]

    def open(
        self, split: str, *, root: Path | None, classes: ClassTable, instances: bool, strict: bool
    ) -> PairedSamples:
        """The samples of a split, paired and counted, but not decoded yet.

        Raises:
            DataError: no such folder or split, nothing in it, or (if `strict`) pairs that are
                incomplete or another number of them than is known of the data set.
        """
        self._looked_for.check(split, root)
        splits = self._settled(root)
        if split not in splits:
            raise DataError(
                f"there is no split `{split}`, but {' and '.join(splits)}; give its images a "
                f"folder `{split}` below {folder_of(self.images, root, '')}, or type "
                "'data.reader.splits={train: 0.7, val: 0.2, test: 0.1}'"
            )
        where = splits[split]
        images, masks = self._files(split, where, root)
        pairs = images.keys() & masks.keys()
        ids, gaps = chosen(split, splits, pairs, root)
        if images and not pairs:
            hint = pattern_hint(self._masks[split], images, root, _folder(where))
            if hint:
                raise DataError(f"split `{split}` is empty: {hint}")
        if not is_list(where):  # what a list does not name may be incomplete
            gaps += _alone(images, masks)
        known = (self.expected or {}).get(split, len(ids))
        if len(ids) != known:
            gaps.append(f"{len(ids)} pairs were found where the data set has {known}")
        marks, lacking = self._marks(ids, root, where) if instances else ({}, [])
        gaps += lacking
        if gaps and (images or masks):
            self._looked_for.complain(split, gaps, root, strict=strict)
        if lacking:
            ids = [i for i in ids if i in marks]
        if not ids:
            none = why_none(where, len(pairs)) if pairs else ""
            why = lacking[0] if lacking else none or self._looked_for.told(root)
            raise DataError(f"split `{split}` is empty: {why}")
        read_mask = MaskReader(classes, self.mask_values)
        return PairedSamples(
            key=self._key(split, root, read_mask, classes if instances else None),
            ids=ids,
            images=[images[i] for i in ids],
            masks=[masks[i] for i in ids],
            classes=classes,
            read_mask=read_mask,
            white=self.white,
            gaps=gaps,
            instance_files=[marks[i] for i in ids] if instances else (),
            instances=self.instances if instances else None,
        )

    def _key(
        self, split: str, root: Path, read_mask: MaskReader, things_of: ClassTable | None
    ) -> str:
        """Of what is remembered, with all that changes what is read from the same files.

        Args:
            things_of: the class table where instances are read too.
        """
        how = f"{self.mask_values} {self.white} {read_mask.colors}"
        if things_of is not None:
            things = [things_of.ids[c] for c in sorted(things_of.things)]
            how += f" {self.instances} {things} {things_of.ignore}"
        return f"{root.resolve()} {self.images} {self._masks[split]} {split} {how}"

    def _files(
        self, split: str, where: Split | Part, root: Path
    ) -> tuple[dict[str, Path], dict[str, Path]]:
        """Images and masks by id: of the split where folders tell, else of all splits."""
        folder = _folder(where)
        images = self._list(self.images, root, folder)
        masks = self._list(self._masks[split], root, folder, MASK_SUFFIXES)
        if not isinstance(where, Part) or is_list(where):
            return images, masks
        top = f"{where.name}/"
        images = {i: path for i, path in images.items() if i.startswith(top)}
        own = {i: path for i, path in masks.items() if i.startswith(top)}
        if not own:  # images lie in folders, masks in one
            own = {i: masks[i.removeprefix(top)] for i in images if i.removeprefix(top) in masks}
        return images, own

    def _marks(
        self, ids: Sequence[str], root: Path, where: Split | Part
    ) -> tuple[dict[str, Path], list[str]]:
        """The files of instance ids, and what to say of the pairs that have none."""
        if self.instances is None:
            raise DataError(
                "data.instances=true, but these data have no instance ids (data.reader.instances "
                "names no files of them); type data.instances=false for networks of classes "
                "alone, or choose data that have them: data=scenes, cityscapes, ade20k or "
                "coco_panoptic, which also reads your own in COCO's panoptic format"
            )
        marks = self._list(self.instances.pattern, root, _folder(where))
        absent = [i for i in ids if i not in marks]
        if not absent:
            return marks, []
        place = layout(self.instances.pattern, _folder(where))
        return marks, [
            f"{len(absent)} of {len(ids)} pairs have no instance ids, such as {absent[0]}; "
            f"expected {root}/{place}"
        ]

    def _list(
        self, pattern: str, root: Path, folder: str, suffixes: Collection[str] = IMAGE_SUFFIXES
    ) -> dict[str, Path]:
        files = found(pattern, root, folder, suffixes)
        left_out = frozenset(self.without)
        return {sample: path for sample, path in files.items() if sample not in left_out}


def _folder(where: Split | Part) -> str:
    """What stands at `{split}`, which patterns of whole folders do not have."""
    return where.name if isinstance(where, Part) else str(where)


def _tried(decode: Callable[..., Any], *given: Any) -> tuple[Any, str | None]:
    """What a decoder makes of a file, or None and what is wrong with it."""
    try:
        return decode(*given), None
    except DataError as error:
        return None, str(error)


def _differ(path: Path, image: Sequence[int], mask: Sequence[int]) -> str:
    return f"{path} is {image[0]}x{image[1]}, but its mask is {mask[0]}x{mask[1]} (height x width)"


def _alone(images: Mapping[str, Path], masks: Mapping[str, Path]) -> list[str]:
    """Files without a partner, images first."""
    return [f"{images[i]} has no mask" for i in sorted(images.keys() - masks.keys())] + [
        f"{masks[i]} has no image" for i in sorted(masks.keys() - images.keys())
    ]
