"""What is written of a segmented image: raw ids, colours, and the overlaid image with its legend.

All are made some rows at a time: floats and indices of a whole large image would take gigabytes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.files import written_whole
from segsuite.data.class_table import ClassTable
from segsuite.data.palette import colourise, overlay
from segsuite.engine.inference.answers import Answer
from segsuite.engine.inference.legend import PAPER
from segsuite.engine.inference.legend import legend as strip_of

_AT_ONCE = 2**22
"""Pixels worked on at once."""


class LabelFiles:
    """Writes masks/NAME.png and overlays/NAME.png in a folder, and colors/NAME.png if asked.

    Masks hold the raw ids of the class table, as the data set's own files do.

    Args:
        opacity: opacity of the classes' colours over the image.
        legend: whether the colours and names of the classes that are in it stand below each
            overlay.
        colors: whether the labels are also written in the colours of the class table.
    """

    def __init__(
        self, folder: Path, classes: ClassTable, *, opacity: float, legend: bool, colors: bool
    ) -> None:
        self._classes, self._opacity, self._legend = classes, opacity, legend
        self._folder = folder
        self.kinds = ("masks", *(("colors",) if colors else ()), "overlays")

    def write(self, name: str, image: NDArray[np.uint8], answer: Answer) -> None:
        """Each file is whole or absent.

        Args:
            answer: what was said of the image, on the CPU.

        Shapes: image (3, H, W)
        """
        labels = answer.labels.numpy()
        make = {
            "masks": lambda: self._ids(labels),
            "colors": lambda: self._colors(labels),
            "overlays": lambda: self._overlaid(image, answer),
        }
        for kind in self.kinds:
            with written_whole(self._folder / kind / f"{name}.png") as beside:
                make[kind]().save(beside)

    def _ids(self, labels: NDArray) -> Image.Image:
        raw = np.empty(labels.shape, self._classes.raw(labels[:1, :1]).dtype)
        for rows in _parts(labels):
            raw[rows] = self._classes.raw(labels[rows])
        return Image.fromarray(raw)

    def _colors(self, labels: NDArray) -> Image.Image:
        return _painted(labels, lambda rows: colourise(labels[rows], self._classes.colors))

    def _overlaid(self, image: NDArray, answer: Answer) -> Image.Image:
        kind = {"opacity": self._opacity, "legend": self._legend}
        labels, instances = (None if m is None else m.numpy() for m in answer.drawn)
        return overlaid(image, labels, self._classes, instances=instances, **kind)


def overlaid(
    image: NDArray[np.uint8],
    labels: NDArray[np.integer],
    classes: ClassTable,
    *,
    opacity: float,
    legend: bool,
    instances: NDArray[np.integer] | None = None,
) -> Image.Image:
    """The image under the colours of its classes, with those that are in it below, if asked.

    Args:
        instances: ids between which lines are drawn.

    Shapes: image (3, H, W), labels (H, W) class numbers, instances (H, W)
    """
    strip = strip_of(classes, _present(labels, len(classes)), labels.shape) if legend else None

    def part(rows: slice) -> NDArray:
        ids = None if instances is None else instances[rows.start : rows.stop + 1]
        return overlay(image[:, rows], labels[rows], classes.colors, opacity, instances=ids)

    return _painted(labels, part, strip)


def _parts(labels: NDArray) -> Iterator[slice]:
    """Rows that together are all of them."""
    step = max(_AT_ONCE // labels.shape[1], 1)
    return (slice(first, first + step) for first in range(0, len(labels), step))


def _present(labels: NDArray, classes: int) -> list[int]:
    """The classes that there are, in order."""
    counts = np.zeros(classes, np.int64)
    for rows in _parts(labels):
        part = labels[rows]
        counts += np.bincount(part[part >= 0], minlength=classes)
    return np.flatnonzero(counts).tolist()


def _painted(
    labels: NDArray, pixels: Callable[[slice], NDArray], below: Image.Image | None = None
) -> Image.Image:
    """An image of what `pixels` gives for rows (h, W, 3), with another one below it."""
    height, width = labels.shape
    more = below.size if below is not None else (0, 0)
    canvas = Image.new("RGB", (max(width, more[0]), height + more[1]), PAPER)
    for rows in _parts(labels):
        canvas.paste(Image.fromarray(pixels(rows)), (0, rows.start))
    if below is not None:
        canvas.paste(below, (0, height))
    return canvas
