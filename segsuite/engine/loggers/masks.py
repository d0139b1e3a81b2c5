"""Label maps as W&B takes them: a byte per pixel, and names of those bytes that never change."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UNLABELLED, OTHER = 255, 254
_LONGEST = 1024
"""Side of what a dashboard is shown, in pixels."""


class ClassBytes:
    """A number below 256 for each class. W&B keeps one list of names for all steps of a run, so
    that a number which has had a name keeps it.

    Up to 254 classes are numbered as in the data. Of more, those that occur are numbered as they
    come, and what comes after 254 of them is `other classes`.

    Attributes:
        names: the name of each number that has occurred.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._numbers: dict[str, int] = {}

    def restore(self, names: dict[int, str]) -> None:
        """Takes in the names of an earlier start of the run."""
        self.names |= names
        self._numbers |= {name: number for number, name in names.items() if number < OTHER}

    def numbered(self, labels: NDArray[np.integer], names: Sequence[str]) -> NDArray[np.uint8]:
        """The label map in those numbers.

        Shapes: labels of any, below zero where there is no class

        Args:
            names: the name of each class.
        """
        of_class = np.full(len(names) + 1, UNLABELLED, dtype=np.uint8)  # the last: no class
        for number in np.unique(labels):
            if number < 0:
                self.names[UNLABELLED] = "unlabelled"
            else:
                of_class[number] = self._number(int(number), names)
        return of_class[np.where(labels < 0, len(names), labels)]

    def _number(self, label: int, names: Sequence[str]) -> int:
        name = names[label]
        if name not in self._numbers:
            number = label if len(names) <= OTHER else min(len(self._numbers), OTHER)
            self._numbers[name] = number
            self.names[number] = "other classes" if number == OTHER else name
        return self._numbers[name]


def shown(pixels: NDArray[np.uint8], size: tuple[int, ...]) -> Image.Image:
    """An image, or a map of bytes, at a size, or smaller: at most 1,024 on its longer side.

    Shapes: pixels (H, W, 3) or (H, W)

    Args:
        size: (height, width).
    """
    scale = min(1.0, _LONGEST / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    how = Image.Resampling.NEAREST if pixels.ndim == 2 else Image.Resampling.BOX
    return Image.fromarray(pixels).resize((width, height), how)
