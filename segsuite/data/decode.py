"""Files to arrays: pictures as RGB, masks as the raw ids that they hold."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})

_MASK_MODES = {"1", "L", "P", "I;16", "I;16B", "I"}
_WIDE_MODES = {"I;16", "I;16L", "I;16B", "I", "F"}


def decode_image(path: str | Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, whatever the file's colour mode; stored pixels, since masks follow those.

    Raises:
        DataError: naming the file, when it is absent, cut short, not a picture, or grey of more
            than 8 bits: most of those would come out white.
    """
    picture = _open(path)
    if picture.mode in _WIDE_MODES:
        raise DataError(
            f"{path} is grey of more than 8 bits (mode {picture.mode}), and which of its values "
            "are black and white is not known; write it again with 8 bits"
        )
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def decode_mask(path: str | Path) -> NDArray[Any]:
    """(H, W) raw ids: grey values, 16-bit values, or the indices of a picture with a palette.

    Raises:
        DataError: naming the file, when it cannot be decoded or holds colours instead of ids.
    """
    picture = _open(path)
    if picture.mode not in _MASK_MODES:
        raise DataError(
            f"{path} holds colours (mode {picture.mode}), not class ids; masks are grey, "
            "16-bit or palette pictures whose values are the ids of the class table"
        )
    raw = np.array(picture)
    return raw.astype(np.uint8) if raw.dtype == bool else raw


class InstanceFiles(Protocol):
    """Where instance ids are stored, as a pattern like those of PairedFiles, and how."""

    pattern: str

    def decode(self, path: Path) -> NDArray[np.int32]:
        """(H, W) instance ids, 0 where there is none."""
        ...


class ThingNumbers:
    """Cityscapes: *_instanceIds.png hold id * 1000 + number for things that are told apart."""

    def __init__(self, *, pattern: str) -> None:
        self.pattern = pattern

    def decode(self, path: Path) -> NDArray[np.int32]:
        """(H, W); values below 1000 are stuff and groups, which have no instance."""
        raw = decode_mask(path).astype(np.int32)
        return np.where(raw >= 1000, raw, 0)


class GreenChannel:
    """ADE20K: annotations_instance/ hold the thing's class in red and its number in green."""

    def __init__(self, *, pattern: str) -> None:
        self.pattern = pattern

    def decode(self, path: Path) -> NDArray[np.int32]:
        """(H, W); numbers are unique within a picture."""
        return decode_image(path)[..., 1].astype(np.int32)


def _open(path: str | Path) -> Image.Image:
    """The decoded picture; PIL's many exceptions become one that names the file."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be decoded ({error})") from error
