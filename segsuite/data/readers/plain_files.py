"""Plain JPEG and PNG files, which OpenCV decodes to Pillow's pixels without Pillow's copies."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

_JPEG, _END_OF_JPEG = b"\xff\xd8\xff", b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOR = 0, 2
"""Colour types of PNG."""

_HEADER = 26
"""Bytes of a PNG up to its colour type."""

_NO_PIXELS = {b"pHYs": 9, b"tIME": 7, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}
"""Bytes of the parts of a PNG that change no pixels; texts may hold an EXIF orientation."""

_UPRIGHT_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # the tag is looked at here


def plain_color(path: str | Path) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB of an upright JPEG or PNG in colour, of 8 bits.

    None for all other files, and for those that cannot be read, are damaged or above Pillow's limit
    of pixels: Pillow says what is wrong with them.
    """
    data = _data(path, (".jpg", ".jpeg", ".jfif", ".png"), _is_color)
    if data is None or not (_is_plain_jpeg(data) or _is_plain_png(data)):
        return None
    return _decoded(data, _UPRIGHT_RGB)


def plain_grey(path: str | Path) -> NDArray[np.uint8] | None:
    """(H, W) the values of a grey PNG of 8 bits; None for all others, as by `plain_color`."""
    data = _data(path, (".png",), _is_grey)
    return None if data is None or not _is_plain_png(data) else _decoded(data, cv2.IMREAD_GRAYSCALE)


def _data(
    path: str | Path, suffixes: tuple[str, ...], wanted: Callable[[bytes], bool]
) -> bytes | None:
    """All of a file whose first bytes are as wanted; None for others, of which no more is read."""
    try:
        if not str(path).lower().endswith(suffixes) or not Path(path).is_file():
            return None
        with open(path, "rb", buffering=0) as file:
            if not wanted(file.read(_HEADER)):
                return None
            file.seek(0)
            return file.read()
    except OSError:  # Pillow meets it again, and then the file is named
        return None


def _is_color(header: bytes) -> bool:
    return header.startswith(_JPEG) or _is_png(header, _COLOR)


def _is_grey(header: bytes) -> bool:
    return _is_png(header, _GREY)


def _is_png(header: bytes, color_type: int) -> bool:
    """Whether it is a PNG of 8 bits and that type, with no more pixels than Pillow allows."""
    if len(header) < _HEADER or header[:8] != _PNG or header[12:16] != b"IHDR":
        return False
    width, height, *kind = struct.unpack(">IIBB", header[16:_HEADER])
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 2**62)
    return kind == [8, color_type] and 0 < width * height <= limit


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


def _is_plain_png(data: bytes) -> bool:
    """Whether a PNG is whole, without transparency, profile, texts or an EXIF orientation."""
    kinds, place = set(), len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        end = place + 8 + length
        if zlib.crc32(data[place + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
            return False
        kinds.add(kind := data[place + 4 : place + 8])
        if length != _NO_PIXELS.get(kind, length):
            return False
        place = end + 4
        if kind == b"IEND":
            return kinds - _NO_PIXELS.keys() == {b"IHDR", b"IDAT", b"IEND"}
    return False
