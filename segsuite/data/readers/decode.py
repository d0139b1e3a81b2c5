"""Files to arrays: images as RGB, upright, and masks as the raw ids that they hold."""

import contextlib
import functools
import logging
import os
import re
import stat
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.readers.plain_files import plain_color, plain_grey

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm"}
)
MASK_SUFFIXES = frozenset({*IMAGE_SUFFIXES, ".gif"} - {".jpg", ".jpeg", ".jfif"})
"""Of files that keep ids as they are."""

PIXEL_LIMIT = "SEGSUITE_MAX_PIXELS"
"""The environment variable that replaces Pillow's limit for the pixels of an image."""

_AT_ONCE = 2**24
"""Pixels of an image that are copied at once."""

_ID_MODES = {"1", "L", "P", "I;16", "I;16B", "I;16L", "I"}
_WIDE_MODES = {"I;16", "I;16L", "I;16B", "I", "F"}
_EXIF_FAULTS = (
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)

logger = logging.getLogger(__name__)

_told_dark: set[str] = set()


def is_image(name: str | Path) -> bool:
    """Whether a file is an image by its name; hidden files, such as macOS's `._0001.jpg`, are not.

    Whether it can be decoded is another matter.
    """
    name = os.path.basename(name)
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def decode_image(path: str | Path, *, white: float | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, upright as a viewer shows it, whatever the file's colour mode.

    Args:
        white: the value that is white in grey images with more than 8 bits, 0 being black; None for
            65535 where there are 16 bits. Values above it are white.

    Raises:
        DataError: naming the file, when it is absent, cut short, no image, too large, or grey of
            32 bits and `white` is None.
    """
    _pixel_limit()
    pixels = plain_color(path)
    return rgb_of(opened(path), path, white=white) if pixels is None else pixels


def rgb_of(
    image: Image.Image, source: str | Path, *, white: float | None = None
) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of an opened image as it is; `source` is what errors call it.

    Raises:
        DataError: it is grey of 32 bits and `white` is None.
    """
    if image.mode in _WIDE_MODES:
        return _eight_bits(image, source, white)
    return _pixels(image if image.mode == "RGB" else image.convert("RGB"))


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3); of a large image some rows at a time, since Pillow hands out copies of copies."""
    width, height = image.size
    if width * height <= _AT_ONCE:
        return np.array(image)
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(_AT_ONCE // width, 1)
    for top in range(0, height, rows):
        pixels[top : top + rows] = image.crop((0, top, width, min(top + rows, height)))
    return pixels


def decode_mask(path: str | Path) -> NDArray[Any]:
    """(H, W) raw ids: grey values, 16-bit values, or the indices of an image with a palette.

    Raises:
        DataError: naming the file, when it cannot be decoded or holds colours instead of ids.
    """
    raw = grey_values(path)
    if raw is not None:
        return raw
    image = opened(path)
    if image.mode not in _ID_MODES:
        raise DataError(
            f"{path} holds colours (mode {image.mode}), not class ids; masks are grey, "
            "16-bit or palette images whose values are the ids of the class table"
        )
    return ids_of(image)


def grey_values(path: str | Path) -> NDArray[np.uint8] | None:
    """(H, W) of a plain grey PNG of 8 bits, in half the time; None for all other files."""
    _pixel_limit()
    return plain_grey(path)


def ids_of(image: Image.Image) -> NDArray[Any]:
    """(H, W) the values of an image with one channel."""
    raw = np.array(image)
    return raw.astype(np.uint8) if raw.dtype == bool else raw


def opened(path: str | Path) -> Image.Image:
    """The decoded image, turned as its EXIF orientation says: all images are read through here.

    Raises:
        DataError: naming the file, whichever of Pillow's many exceptions there was.
    """
    limit = _pixel_limit()
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            raise DataError(f"{path} is no file, but a folder, a pipe or a device")
        # Not by its path: Pillow 13 then maps grey TIFFs, and scrambles those that it turns.
        with open(path, "rb") as file, Image.open(file) as image:
            image.load()
            # Costs nothing where no tag says so; a damaged tag says nothing, as in viewers.
            with contextlib.suppress(*_EXIF_FAULTS):
                ImageOps.exif_transpose(image, in_place=True)
            return image
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except Image.DecompressionBombError as error:
        pixels = int(re.findall(r"\d+", str(error))[0])
        raise DataError(
            f"{path} has {pixels:,} pixels, and above {limit:,} an image is taken for one that is "
            f"made to fill the memory; if it is not, type {PIXEL_LIMIT}={pixels} before the command"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error})") from error


def is_turned(path: str | Path) -> bool:
    """Whether an EXIF orientation swaps height and width of a file; for messages."""
    try:
        with Image.open(path) as image:
            return image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except (*_EXIF_FAULTS, Image.DecompressionBombError):
        return False


def _eight_bits(image: Image.Image, path: str | Path, white: float | None) -> NDArray[np.uint8]:
    """(H, W, 3) of grey values 0..white as 0..255."""
    grey = np.array(image)
    if white is None and not image.mode.startswith("I;16"):
        raise DataError(
            f"{path} is grey of 32 bits (mode {image.mode}), and which of its values is white is "
            "not known; type data.reader.white=VALUE, or write it again with 8 or 16 bits"
        )
    if white is None and grey.size and grey.max() < 2**16 // 16:
        _warn_of_dark(str(Path(path).parent), int(grey.max()))
    scaled = np.nan_to_num(grey * (255 / (white or 2**16 - 1)), posinf=255).clip(0, 255)
    return np.repeat(scaled.round().astype(np.uint8)[..., None], 3, axis=2)


def _warn_of_dark(folder: str, brightest: int) -> None:
    """Once for each folder."""
    if folder in _told_dark:
        return
    _told_dark.add(folder)
    logger.warning(
        "16-bit images of %s are nearly black, since 65535 is taken for white and %d is the "
        "brightest value in one of them; type data.reader.white=4095 if they have 12 bits",
        folder,
        brightest,
    )


@functools.cache
def _pixel_limit() -> int:
    """The most pixels of an image: Pillow's limit, unless the environment gives another.

    Raises:
        ConfigError: what it gives is no number.
    """
    # Pillow warns from half of its limit on, which would be said of every large photo.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    given = os.environ.get(PIXEL_LIMIT)
    if given is not None:
        if not given.isdecimal() or not int(given):
            raise ConfigError(f"{PIXEL_LIMIT}={given} is no number of pixels, such as 400000000")
        Image.MAX_IMAGE_PIXELS = -(-int(given) // 2)
    return 2 * (Image.MAX_IMAGE_PIXELS or 2**62)
