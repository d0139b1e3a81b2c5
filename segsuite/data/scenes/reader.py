"""Scenes as a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from segsuite.core.errors import ConfigError, DataError
from segsuite.core.hints import Count, Sides
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Facts, ListedSamples, Sample, counts_of
from segsuite.data.scenes.kinds import class_table
from segsuite.data.scenes.street import draw_street
from segsuite.data.segments import segments_of


@dataclass(frozen=True, kw_only=True)
class SceneSamples(ListedSamples):
    """Scenes of one split, drawn on demand."""

    numbers: Sequence[int]
    size: Size
    seed: tuple[int, ...]
    instances: bool

    def __getitem__(self, index: int) -> Sample:
        canvas = draw_street(self.size, len(self.classes), (*self.seed, self.numbers[index]))
        return Sample(
            id=self.ids[index],
            image=torch.from_numpy(canvas.image()),
            label=torch.from_numpy(canvas.labels()),
            instances=torch.from_numpy(canvas.instances()) if self.instances else None,
        )

    def files(self, index: int) -> tuple[Path, ...]:
        return ()

    def inspect(self, index: int) -> Facts:
        sample = self[index]
        raw, ids = self.classes.raw(sample.label.numpy()), sample.instances
        segments = None if ids is None else segments_of(raw, ids.numpy())
        return Facts(self.size, self.size, counts_of(raw), segments=segments)

    def only(self, indices: Sequence[int]) -> Self:
        return self.picked(indices, "numbers")


class Scenes:
    """Street scenes that are drawn, as many as asked for.

    Args:
        size: (height, width) of the images.
        num_classes: number of classes: 19, or more for variants of the 19 kinds.
        lengths: number of images by split, at least one each.
        seed: seed of the images; each split draws others.
    """

    drawn = True
    """No folder is read: one that is typed is refused (`engine.heeded`)."""

    def __init__(
        self, *, size: Sides, num_classes: int, lengths: Mapping[str, Count], seed: int = 0
    ) -> None:
        if min(size) < 32:
            raise ConfigError(
                f"data.crop_size={list(size)}, but scenes are at least 32 pixels high and wide"
            )
        self.own_classes: ClassTable | None = class_table(num_classes)
        self._size: Size = (size[0], size[1])
        self._num_classes, self._seed = num_classes, seed
        self._lengths = dict(lengths)

    def open(
        self, split: str, *, root: Path | None, classes: ClassTable, instances: bool, strict: bool
    ) -> SceneSamples:
        """The scenes of a split; nothing on disk is needed.

        Raises:
            DataError: there is no such split.
        """
        if split not in self._lengths:
            known = ", ".join(self._lengths)
            raise DataError(f"scenes have no split `{split}`; data.reader.lengths has {known}")
        length = self._lengths[split]
        return SceneSamples(
            key=f"scenes {self._seed} {self._size} {self._num_classes} {split}",
            ids=[f"{split}_{number:06}" for number in range(length)],
            numbers=range(length),
            size=self._size,
            classes=classes,
            seed=(self._seed, list(self._lengths).index(split)),
            instances=instances,
        )
