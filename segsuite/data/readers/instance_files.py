"""Files of instance ids beside masks, and how the two become one pair of maps.

In a pair, a thing's instance has an id above 0 that no other one of the image has. Pixels of a
thing's class with instance 0 are a crowd: things that were not told apart.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import DataError
from segsuite.core.hints import Share
from segsuite.data.class_table import ClassTable
from segsuite.data.readers.decode import decode_mask, opened

PER_CLASS = 1000
"""Ids are number of the class * 1000 + number of the instance."""


class InstanceFiles(Protocol):
    """Where instance ids are stored, as a pattern like those of PairedFiles, and how."""

    pattern: str

    def decode(self, path: Path) -> NDArray[np.int32]:
        """(H, W) instance ids, 0 where there is none."""

    def joined(
        self,
        raw: NDArray[Any],
        ids: NDArray[np.int32],
        classes: ClassTable,
        *,
        path: Path,
        mask: Path,
    ) -> NDArray[Any]:
        """(H, W) the raw ids of the mask as they are beside these instance ids.

        Args:
            path, mask: the files of the ids and of the mask, for messages.
        """


@dataclass(frozen=True, kw_only=True)
class ThingNumbers:
    """Cityscapes: *_instanceIds.png hold id * 1000 + number for things that are told apart.

    Groups, such as cars whose borders cannot be seen, are of their class without an instance.

    Attributes:
        tolerance: share of an image's pixels of instances that may be of another class in the mask;
            1 where the numbers of classes are not those of the mask. In the official files, which
            were drawn from the same polygons, none is; 5 % leaves room for borders that were drawn
            twice, and files of another image are on other classes for the greater part.
    """

    pattern: str
    tolerance: Share = 0.05

    def decode(self, path: Path) -> NDArray[np.int32]:
        """(H, W); values below 1000 are stuff and groups, which have no instance."""
        raw = decode_mask(path).astype(np.int32)
        return np.where(raw >= PER_CLASS, raw, 0)

    def joined(
        self,
        raw: NDArray[Any],
        ids: NDArray[np.int32],
        classes: ClassTable,
        *,
        path: Path,
        mask: Path,
    ) -> NDArray[Any]:
        """(H, W) the mask as it is, which was drawn from the same polygons.

        Pixels without a class in the mask, such as borders, are not asked.

        Raises:
            DataError: naming both files, when more than the tolerated share of the pixels of
                instances is of another class in the mask.
        """
        apart = (ids > 0) & (ids // PER_CLASS != raw)
        owners, on = ids[apart], raw[apart]  # none in official files
        wrong = np.flatnonzero(np.isin(on, classes.ids))
        share = len(wrong) / max(np.count_nonzero(ids), 1)
        if share > self.tolerance:
            owner, other = int(owners[wrong[0]]), int(on[wrong[0]])
            raise DataError(
                f"{path}: {share:.1%} of the pixels of instances are of another "
                f"class in {mask} (up to {self.tolerance:.0%} is expected), such as instance "
                f"{owner}, of class {owner // PER_CLASS}, where the mask says {other}; give both "
                "files of one image, or, where the mask numbers its classes otherwise, type "
                "data.reader.instances.tolerance=1"
            )
        return raw


@dataclass(frozen=True, kw_only=True)
class GreenChannel:
    """ADE20K: annotations_instance/ hold the thing's class in red and its number in green.

    Red n is the n-th thing of the class table. As in the data set's panoptic task, things are
    painted over the mask.

    Attributes:
        lone: what pixels of things are that belong to no instance: void, as in the panoptic task,
            or a crowd.
    """

    pattern: str
    lone: Literal["void", "crowd"] = "void"

    def decode(self, path: Path) -> NDArray[np.int32]:
        """(H, W) red * 1000 + green; numbers are unique within an image.

        Raises:
            DataError: naming the file, when it has no colours, or a number without a class.
        """
        image = opened(path)
        if image.mode not in ("RGB", "RGBA"):
            raise DataError(
                f"{path} has mode {image.mode}, but files of instances hold the thing's class in "
                "red and its number in green (mode RGB); masks of class ids are none. To read "
                "classes alone, type data.instances=false"
            )
        red, green = (np.asarray(channel, np.int32) for channel in image.split()[:2])
        if ((red == 0) & (green > 0)).any():
            number = int(green[(red == 0) & (green > 0)][0])
            raise DataError(
                f"{path}: instance {number} (green) has red 0, which is no thing's class; "
                "expected is 1 for the first thing of the class table, and so on"
            )
        return np.where(green > 0, red * PER_CLASS + green, 0)

    def joined(
        self,
        raw: NDArray[Any],
        ids: NDArray[np.int32],
        classes: ClassTable,
        *,
        path: Path,
        mask: Path,
    ) -> NDArray[Any]:
        """(H, W) the mask with the things painted over it.

        How much of it was of another class is judged by whole splits (`checks/instances.py`): here
        the two files were annotated apart, and of a single image's small things all may differ.

        Raises:
            DataError: naming the file, when it holds more classes than the table has things; or
                void has no raw id.
        """
        things = [0, *(classes.ids[c] for c in sorted(classes.things))]
        red = ids // PER_CLASS
        if (most := int(red.max(initial=0))) >= len(things):
            raise DataError(
                f"{path} holds a thing of class {most} (red), but the class table has "
                f"{len(things) - 1} things; give the table of these files as data.classes=FILE"
            )
        painted = np.array(things, np.int32)[red]
        if self.lone == "crowd":
            return np.where(ids > 0, painted, raw)
        if classes.ignore is None:
            raise DataError(
                "data.reader.instances.lone=void needs an id that is no class, and the class table "
                "has no `ignore`; write it there, or type data.reader.instances.lone=crowd"
            )
        rest = np.where(np.isin(raw, things[1:]), classes.ignore, raw)
        return np.where(ids > 0, painted, rest)
