"""What the pixels of a mask mean: ids of the class table, or its colours."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.readers.decode import grey_values, ids_of, opened

MaskValues = Literal["auto", "ids", "colors"]
"""How masks are read: as ids, as colours, or each as `MaskReader` finds it."""

_GREY_MODES = {"1", "L", "I;16", "I;16B", "I;16L", "I"}
_COLOR_MODES = {"RGB", "RGBA", "LA", "La", "PA", "RGBX", "RGBa", "CMYK", "YCbCr"}
_MOST = 0.9
"""Share of the pixels from which on colours that no class has may be those of other files."""
_TYPE_IT = "type data.reader.mask_values=ids, or data.reader.mask_values=colors"


class MaskReader:
    """Mask files to raw ids.

    Grey masks hold ids. Of masks that hold colours, exact ones of the table stand for its classes;
    three equal channels are ids too, as is what an alpha channel goes with. The indices of a
    palette are ids, unless the palette gives them colours of other classes. Where both readings
    fit and differ, the user is asked. A table in which classes share a colour reads ids alone.

    Args:
        classes: the table; colours that it does not give itself are not looked for.
        values: how masks are read.
    """

    def __init__(self, classes: ClassTable, values: MaskValues = "auto") -> None:
        self._classes, self._values = classes, values
        self.colors = _colors_of(classes)
        colors = np.array([color for _, color in self.colors], np.uint32).reshape(-1, 3)
        codes = _packed(colors)
        order = np.argsort(codes, kind="stable")
        self._codes = codes[order]
        self._ids = np.array([raw for raw, _ in self.colors], np.int64)[order]
        self._last_palette: tuple[bytes | None, NDArray[np.int64] | None] = (None, None)

    def __call__(self, path: Path) -> NDArray[Any]:
        """(H, W) raw ids.

        Raises:
            DataError: naming the file, and the first pixel of a colour that the table has not.
        """
        by_color = self._values == "colors"
        grey = None if by_color else grey_values(path)
        if grey is not None:
            return grey
        image = opened(path)
        if image.format in ("JPEG", "MPO"):
            raise DataError(
                f"{path} is a mask in JPEG, which changes ids and colours at every edge; write it "
                "again as PNG from what it was made of"
            )
        if image.mode in _GREY_MODES and not by_color:
            return ids_of(image)
        if image.mode == "P" and not by_color:
            return self._of_palette(image, path)
        if image.mode in _COLOR_MODES or by_color:
            return self._of_colors(image, path)
        raise DataError(
            f"{path} holds numbers with fractions (mode {image.mode}), not class ids; masks are "
            "grey, 16-bit, palette or colour images"
        )

    def _of_palette(self, image: Image.Image, path: Path) -> NDArray[Any]:
        """Indices, or the ids of their colours where these contradict them."""
        indices = np.array(image)
        if self._values == "ids" or not len(self._codes) or self._twice:
            return indices
        ids = self._ids_of_palette(image)
        if ids is None:
            return indices
        used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
        contrary = used[(ids[used] >= 0) & (ids[used] != used)]
        if not contrary.size:
            return indices
        # A palette that is not made of the table's colours may have one of them by chance.
        told = used if self._classes.unknown(used.tolist()) else np.arange(used[-1] + 1)
        if (ids[told] < 0).any():
            index = int(contrary[0])
            raise DataError(
                f"{path}: index {index} of its palette has the colour of id {ids[index]} in the "
                f"class table, and index {int(told[ids[told] < 0][0])} a colour that no class has; "
                f"{_TYPE_IT}"
            )
        return _narrow(ids)[indices]

    def _ids_of_palette(self, image: Image.Image) -> NDArray[np.int64] | None:
        """(256,) the id of each index's colour, -1 where no class has it; None if none is another.

        Most data sets have one palette, so that the last one is remembered.
        """
        given = image.palette.tobytes() if image.palette is not None else b""
        last, ids = self._last_palette
        if given == last:
            return ids
        palette = np.array(image.getpalette(), np.uint32).reshape(-1, 3)
        known = self._looked_up(_packed(palette))
        ids = np.concatenate([known, np.full(256 - len(known), -1)])  # palettes may be short
        if not ((ids >= 0) & (ids != np.arange(256))).any():
            ids = None
        self._last_palette = (given, ids)
        return ids

    def _of_colors(self, image: Image.Image, path: Path) -> NDArray[Any]:
        rgb = np.array(image.convert("RGBA"))
        grey = self._values == "auto" and bool((rgb[..., :1] == rgb[..., 1:3]).all())
        if not len(self._codes) or self._values == "ids":
            if grey or self._values == "ids":
                return self._of_grey(rgb, path)
            raise DataError(
                f"{path} holds colours (mode {image.mode}), and the class table gives none; "
                "write `color: [r, g, b]` at each class, or masks whose values are the ids"
                f"{_if_panoptic(path)}"
            )
        if self._twice:
            if grey:
                return self._of_grey(rgb, path)
            raise DataError(self._twice)
        codes = rgb.view("<u4")[..., 0] & 0xFFFFFF
        ids = self._looked_up(codes)
        if not grey:
            if ids.size and ids.min() < 0:
                raise DataError(self._unknown(rgb, ids, path))
            return _narrow(ids)
        as_ids = self._of_grey(rgb, path)
        if ids.size and ids.min() < 0:
            return as_ids
        if self._classes.unknown(np.unique(as_ids).tolist()) or (as_ids == ids).all():
            return _narrow(ids)
        row, column = np.argwhere(as_ids != ids)[0].tolist()
        raise DataError(
            f"{path}: the pixel in row {row}, column {column} is {as_ids[row, column]} in all "
            f"three channels, which may be this id, or the colour of id {ids[row, column]}; "
            f"{_TYPE_IT}"
        )

    def _of_grey(self, rgb: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
        """The channel that three equal ones repeat."""
        if self._values == "ids" and (rgb[..., :1] != rgb[..., :3]).any():
            instead = "" if _is_panoptic(path) else "; type data.reader.mask_values=colors"
            raise DataError(
                f"{path} holds colours, but data.reader.mask_values=ids{instead}"
                f"{_if_panoptic(path)}"
            )
        return np.ascontiguousarray(rgb[..., 0])

    def _looked_up(self, codes: NDArray[np.uint32]) -> NDArray[np.int64]:
        """The raw id of each colour, -1 where no class has it."""
        place = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        return np.where(self._codes[place] == codes, self._ids[place], -1)

    @cached_property
    def _twice(self) -> str:
        """What is wrong with the table, should colours be needed."""
        same = np.flatnonzero(self._codes[1:] == self._codes[:-1])
        if not same.size:
            return ""
        first, second = self._ids[same[0]], self._ids[same[0] + 1]
        return (
            f"the ids {first} and {second} of the class table have one colour, so that masks of "
            "colours cannot be read; give each its own `color`"
        )

    def _unknown(self, rgb: NDArray[np.uint8], ids: NDArray[np.int64], path: Path) -> str:
        row, column = np.unravel_index(int(np.argmax(ids < 0)), ids.shape)
        share = (ids < 0).mean()
        hint = _if_panoptic(path) if share > _MOST or _is_panoptic(path) else ""
        return (
            f"{path}: the pixel in row {row}, column {column} has the colour "
            f"{rgb[row, column, :3].tolist()}, which the class table does not have ({share:.2%} of "
            "the pixels are of such colours); write it at its class as `color`, or in the table's "
            "list `ignored_colors: [[r, g, b]]`. Masks that were scaled or blurred have mixed "
            f"colours at edges and must be made again{hint}"
        )


def _is_panoptic(path: Path) -> bool:
    """Whether a file is called so: panoptic_val2017/000000000139.png, or *_gtFine_panoptic.png."""
    return "panoptic" in f"{path.parent.name}/{path.name}"


def _if_panoptic(path: Path) -> str:
    """What to type where colours are no classes, but segments."""
    its = ". This seems to be" if _is_panoptic(path) else ". If this is"
    return (
        f"{its} a panoptic file, whose colours are ids of segments that a JSON file tells of: type "
        "data=coco_panoptic, or for Cityscapes data=cityscapes data.instances=true"
    )


def _colors_of(classes: ClassTable) -> list[tuple[int, tuple[int, int, int]]]:
    """(raw id, colour) of what the table gives colours to, ignored ones last."""
    given = [(classes.ids[c], tuple(classes.colors[c].tolist())) for c in sorted(classes.colored)]
    if classes.ignored_colors and classes.ignore is None:
        raise DataError(
            "the class table has `ignored_colors`, but no `ignore: 255`, the id that they get"
        )
    return [*given, *((classes.ignore, color) for color in classes.ignored_colors)]


def _packed(colors: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """(N,) colours (N, 3) as numbers, red lowest."""
    return colors[:, 0] | colors[:, 1] << 8 | colors[:, 2] << 16


def _narrow(ids: NDArray[np.int64]) -> NDArray[Any]:
    """In the type of files where that is enough; entries of -1 are not used."""
    highest = int(ids.max(initial=0))
    return ids.astype(np.uint8 if highest < 2**8 else np.uint16 if highest < 2**16 else np.int32)
