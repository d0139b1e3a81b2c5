"""Pictures and masks in files, paired by id: every data set that is unpacked on a disk."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.decode import InstanceFiles, decode_image, decode_mask
from segsuite.data.missing import ExpectedFiles
from segsuite.data.patterns import found, layout
from segsuite.data.samples import Facts, Sample
from segsuite.data.splits import Split, check_folders, chosen, is_list, why_none


@dataclass(frozen=True)
class PairedSamples:
    """The samples of a split, read from files on demand."""

    key: str
    ids: Sequence[str]
    images: Sequence[Path]
    masks: Sequence[Path]
    classes: ClassTable
    gaps: Sequence[str] = ()
    instance_files: Sequence[Path] = ()
    instances: InstanceFiles | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """The sample; raises DataError, naming the file, for whatever does not fit."""
        image, raw = decode_image(self.images[index]), decode_mask(self.masks[index])
        if image.shape[:2] != raw.shape:
            raise DataError(_sizes_differ(self.images[index], image.shape, raw.shape))
        return Sample(
            id=self.ids[index],
            # The tensor keeps the decoder's memory order, so that resizing need not copy it.
            image=torch.from_numpy(image).permute(2, 0, 1),
            label=torch.from_numpy(self.classes.labels(raw, self.masks[index])),
            instances=self._instance_ids(index),
        )

    def _instance_ids(self, index: int) -> Tensor | None:
        if self.instances is None:
            return None
        return torch.from_numpy(self.instances.decode(self.instance_files[index]))

    def files(self, index: int) -> tuple[Path, ...]:
        more = self.instance_files[index : index + 1]
        return (self.images[index], self.masks[index], *more)

    def inspect(self, index: int) -> Facts:
        image, fault = _tried(decode_image, self.images[index])
        raw, mask_fault = _tried(decode_mask, self.masks[index])
        marks_fault = self._fault_of_instances(index, raw)
        fault = fault or mask_fault or marks_fault
        if image is not None and raw is not None and image.shape[:2] != raw.shape:
            fault = _sizes_differ(self.images[index], image.shape, raw.shape)
        elif image is not None and image.size > 3 and (image == image[0, 0]).all():
            fault = f"{self.images[index]} is one colour all over"
        ids, pixels = np.unique(raw, return_counts=True) if raw is not None else ((), ())
        return Facts(
            image_size=None if image is None else image.shape[:2],
            label_size=None if raw is None else raw.shape,
            counts={int(i): int(n) for i, n in zip(ids, pixels, strict=True)},
            fault=fault,
        )

    def _fault_of_instances(self, index: int, raw: NDArray[Any] | None) -> str | None:
        if self.instances is None:
            return None
        marks, fault = _tried(self.instances.decode, self.instance_files[index])
        if marks is not None and raw is not None and marks.shape != raw.shape:
            return _sizes_differ(self.instance_files[index], marks.shape, raw.shape)
        return fault

    def only(self, indices: Sequence[int]) -> Self:
        return replace(
            self,
            ids=[self.ids[i] for i in indices],
            images=[self.images[i] for i in indices],
            masks=[self.masks[i] for i in indices],
            instance_files=[self.instance_files[i] for i in indices if self.instance_files],
        )


class PairedFiles:
    """A data set of files, described by where they lie.

    Args:
        images, masks: patterns below `data.root` with `{id}` and, where splits are folders,
            `{split}`; an end of `.*` means any picture suffix. Masks may have one for each split.
        splits: for each split its folder, or its list file (`*.txt`, one id a line), or its share
            of all samples (0..1).
        source: where the data come from, for the message when they are not there.
        expected: how many samples each split has, where that is known.
        instances: where instance ids are stored; None when the data have none.
        without: ids that are left out, such as a picture that is known to be black.
    """

    own_classes = None

    def __init__(
        self,
        *,
        images: str,
        masks: str | Mapping[str, str],
        splits: Mapping[str, Split],
        source: str = "",
        expected: Mapping[str, int] | None = None,
        instances: InstanceFiles | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self._images = images
        self._masks = dict.fromkeys(splits, masks) if isinstance(masks, str) else dict(masks)
        self._splits = dict(splits)
        if apart := self._masks.keys() ^ self._splits.keys():
            raise ConfigError(
                f"data.reader.masks has {', '.join(self._masks)} and data.reader.splits has "
                f"{', '.join(self._splits)}; give both for `{min(apart)}`, or one pattern for all"
            )
        for split, where in splits.items():
            check_folders(where, (images, self._masks[split]))
        self._known = dict(expected or {})
        self._instances = instances
        self._without = frozenset(without)
        self._expected = ExpectedFiles(
            {
                split: [layout(its, self._folder(split)) for its in (images, self._masks[split])]
                for split in splits
            },
            source,
        )

    def open(
        self, split: str, *, root: Path | None, classes: ClassTable, instances: bool, strict: bool
    ) -> PairedSamples:
        """The samples of a split, paired and counted, but not decoded yet.

        Raises:
            DataError: no such folder or split, nothing in it, or (if `strict`) pairs that are
                incomplete or another number of them than is known of the data set.
        """
        self._expected.check(split, root)
        images = self._list(self._images, root, split)
        masks = self._list(self._masks[split], root, split)
        pairs = images.keys() & masks.keys()
        ids, gaps = chosen(split, self._splits, pairs, root)
        if not is_list(self._splits[split]):  # what a list does not name may be incomplete
            gaps += _alone(images, masks)
        known = self._known.get(split, len(ids))
        if len(ids) != known:
            gaps.append(f"{len(ids)} pairs were found where the data set has {known}")
        marks, lacking = self._marks(ids, root, split) if instances else ({}, [])
        gaps += lacking
        if gaps and (images or masks):
            self._expected.complain(split, gaps, root, strict=strict)
        if lacking:
            ids = [i for i in ids if i in marks]
        if not ids:
            none = why_none(self._splits[split], len(pairs)) if pairs else ""
            why = lacking[0] if lacking else none or self._expected.told(root)
            raise DataError(f"split `{split}` is empty: {why}")
        return PairedSamples(
            key=f"{root.resolve()} {self._images} {self._masks[split]} {split}",
            ids=ids,
            images=[images[i] for i in ids],
            masks=[masks[i] for i in ids],
            classes=classes,
            gaps=gaps,
            instance_files=[marks[i] for i in ids] if instances else (),
            instances=self._instances if instances else None,
        )

    def _marks(
        self, ids: Sequence[str], root: Path, split: str
    ) -> tuple[dict[str, Path], list[str]]:
        """The files of instance ids, and what to say of the pairs that have none."""
        if self._instances is None:
            raise DataError(
                "data.instances=true, but data.reader.instances does not say where instance ids are"
            )
        marks = self._list(self._instances.pattern, root, split)
        absent = [i for i in ids if i not in marks]
        if not absent:
            return marks, []
        place = layout(self._instances.pattern, self._folder(split))
        return marks, [
            f"{len(absent)} of {len(ids)} pairs have no instance ids, such as {absent[0]}; "
            f"expected {root}/{place}"
        ]

    def _list(self, pattern: str, root: Path, split: str) -> dict[str, Path]:
        files = found(pattern, root, self._folder(split))
        return {sample: path for sample, path in files.items() if sample not in self._without}

    def _folder(self, split: str) -> str:
        return str(self._splits[split])


def _tried(
    decode: Callable[[Path], NDArray[Any]], path: Path
) -> tuple[NDArray[Any] | None, str | None]:
    """What a decoder makes of a file, or what is wrong with it."""
    try:
        return decode(path), None
    except DataError as error:
        return None, str(error)


def _sizes_differ(path: Path, image: Sequence[int], mask: Sequence[int]) -> str:
    return f"{path} is {image[0]}x{image[1]}, but its mask is {mask[0]}x{mask[1]} (height x width)"


def _alone(images: Mapping[str, Path], masks: Mapping[str, Path]) -> list[str]:
    """Files without a partner, images first."""
    return [f"{images[i]} has no mask" for i in sorted(images.keys() - masks.keys())] + [
        f"{masks[i]} has no image" for i in sorted(masks.keys() - images.keys())
    ]
