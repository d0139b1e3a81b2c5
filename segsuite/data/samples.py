"""What readers promise: samples by index, and the files behind them.

A data set is a `Reader` in its YAML; everything else (transforms, samplers, verification, the
check_data entry point) knows only what stands here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.segments import Segments


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its labels.

    Attributes:
        image: (3, H, W) uint8 RGB.
        label: (H, W) class numbers, IGNORE where there is none; int16 or int32 until it is batched.
        instances: (H, W) int32 instance ids, 0 where there is none; only when asked for. Pixels of
            a thing's class without an instance are a crowd; where there is no class, an id counts
            for nothing.
    """

    id: str
    image: Tensor
    label: Tensor
    instances: Tensor | None = None


class Batch(TypedDict, total=False):
    """What a data loader yields.

    For training, `image` is (B, 3, H, W) uint8 RGB and `label` (B, H, W) int64. For evaluation both
    are lists, one entry per image: images of the size that the network is to see, labels of the
    original size. `instances` (int32, 0 where there is none) only where the data set has them.
    """

    image: Any
    label: Any
    instances: Any
    id: list[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the inspection of one sample found.

    Attributes:
        image_size, label_size: size of the image and of the label; None when that file cannot be
            decoded.
        counts: number of pixels by raw id.
        fault: what is wrong with a file, which it names; None when nothing is.
        segments: its segments; None where instances are not read.
    """

    image_size: Size | None
    label_size: Size | None
    counts: dict[int, int]
    fault: str | None = None
    segments: Segments | None = None


def counts_of(raw: NDArray[Any]) -> dict[int, int]:
    """Number of pixels of each raw id that occurs."""
    ids, pixels = np.unique(raw, return_counts=True)
    return dict(zip(ids.tolist(), pixels.tolist(), strict=True))


class Samples(Protocol):
    """The samples of one split, sorted by id.

    Attributes:
        key: tells this split of this data set from all others, for caches.
        gaps: what is missing, such as the partner of a file; empty when the split is whole.
    """

    key: str
    gaps: Sequence[str]
    ids: Sequence[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def files(self, index: int) -> tuple[Path, ...]:
        """The files of a sample; none when it is drawn."""

    def inspect(self, index: int) -> Facts:
        """What is in the files of a sample; never raises for what is wrong with them."""

    def only(self, indices: Sequence[int]) -> Self:
        """These samples alone."""


@dataclass(frozen=True, kw_only=True)
class ListedSamples:
    """What our own samples of a split have in common, see `Samples`."""

    key: str
    ids: Sequence[str]
    classes: ClassTable
    gaps: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def picked(self, indices: Sequence[int], *columns: str) -> Self:
        """A copy in which the ids and these lists hold those samples alone."""
        lists = {name: getattr(self, name) for name in ("ids", *columns)}
        chosen = {name: [of[i] for i in indices] if of else of for name, of in lists.items()}
        return replace(self, **chosen)


class Reader(Protocol):
    """A data set as its YAML describes it; touches no file before `open`.

    Attributes:
        own_classes: the class table of data that brings its own; None when a table must be given.
    """

    own_classes: ClassTable | None

    def open(
        self, split: str, *, root: Path | None, classes: ClassTable, instances: bool, strict: bool
    ) -> Samples:
        """The samples of a split.

        Raises:
            DataError: there is no such split, it is empty, or (if `strict`) it is incomplete.
        """
