"""Plain JPEG and PNG files, which OpenCV decodes to Pillow's pixels without Pillow's copies."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

_END_OF_JPEG = b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOR = 0, 2
"""Colour types of PNG."""

_NO_PIXELS = {b"pHYs", b"tIME", b"gAMA", b"cHRM", b"sRGB", b"iCCP"}
"""Parts of a PNG that neither library looks at; texts may hold an EXIF orientation."""

_UPRIGHT_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # the tag is looked at here


def plain_color(path: str | Path) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB of an upright JPEG or PNG in colour, of 8 bits; see `plain_grey`."""
    data = _data(path, ".jpg", ".jpeg", ".jfif", ".png")
    if data is None or not (_is_plain_jpeg(data) or _is_plain_png(data, _COLOR)):
        return None
    return _decoded(data, _UPRIGHT_RGB)


def plain_grey(path: str | Path) -> NDArray[np.uint8] | None:
    """(H, W) the values of a grey PNG of 8 bits.

    None for all other files, and for those that are damaged or above Pillow's limit of pixels:
    Pillow says what is wrong with them.
    """
    data = _data(path, ".png")
    plain = data is not None and _is_plain_png(data, _GREY)
    return _decoded(data, cv2.IMREAD_GRAYSCALE) if plain else None


def _data(path: str | Path, *suffixes: str) -> bytes | None:
    if not str(path).lower().endswith(suffixes) or not Path(path).is_file():
        return None
    return Path(path).read_bytes()


def _decoded(data: bytes, how: int) -> Any:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:
        return None


def _is_plain_jpeg(data: bytes) -> bool:
    """Whether it is whole, in RGB and upright; OpenCV would fill up what is missing."""
    if not data.rstrip(b"\0").endswith(_END_OF_JPEG):
        return False
    try:
        with Image.open(io.BytesIO(data)) as image:  # the header alone
            upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            return image.format == "JPEG" and image.mode == "RGB" and upright
    except Exception:  # Pillow's many; it is asked again by who reports them
        return False


def _is_plain_png(data: bytes, color_type: int) -> bool:
    """Whether it is whole, of 8 bits, without transparency, texts or an EXIF orientation."""
    if data[:8] != _PNG or data[12:16] != b"IHDR":
        return False
    width, height, bits, its_type = struct.unpack(">IIBB", data[16:26])
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 2**62)
    if (bits, its_type) != (8, color_type) or not 0 < width * height <= limit:
        return False
    kinds, place = set(), 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        end = place + 8 + length
        if zlib.crc32(data[place + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
            return False
        kinds.add(kind := data[place + 4 : place + 8])
        place = end + 4
        if kind == b"IEND":
            return kinds - _NO_PIXELS == {b"IHDR", b"IDAT", b"IEND"}
    return False
