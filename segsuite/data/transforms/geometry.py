"""Resizing images and labels, or any window of the resized image without making the rest."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.data.transforms.pixels import of_rows, rows_of

_SMALL_PART = 4
"""Times as many pixels as a window has, from which the whole is not made for it."""


@dataclass(frozen=True)
class Window:
    """A rectangle of an image resized to `full`: `top`, `left`, `size` in pixels."""

    top: int
    left: int
    size: Size
    full: Size


def whole(size: Size) -> Window:
    """The window that is the whole resized image."""
    return Window(0, 0, size, size)


def resized_image(image: Tensor, window: Window) -> Tensor:
    """The window of the resized image, bilinear, with antialiasing where it shrinks.

    mmseg resizes by OpenCV without antialiasing; thin things then come and go with the phase.

    Shapes: image (3, H, W) uint8 -> (3, *window.size) uint8, in the memory order of PIL
    """
    height, width = image.shape[-2:]
    if window == whole((height, width)):
        return image
    rows, columns = window.size
    box = _box(window, (height, width))
    resized = Image.fromarray(rows_of(image)).resize(
        (columns, rows), Image.Resampling.BILINEAR, box
    )
    return of_rows(np.array(resized))


def resized_crop(image: Tensor, window: Window) -> Tensor:
    """As `resized_image`, up to one step of the 256 of a value, and two to five times as fast.

    What grows is sampled within the window alone; what shrinks needs antialiasing, which torch's
    kernels have for whole images only.
    """
    (height, width), (tall, wide) = image.shape[-2:], window.full
    if window == whole((height, width)):
        return image
    (rows, columns), (top, left) = window.size, (window.top, window.left)
    if tall >= height and wide >= width:
        return of_rows(_sampled(rows_of(image), window))
    if tall * wide > _SMALL_PART * rows * columns:
        return resized_image(image, window)
    # A batch whose own stride says that channels come last, by which its result is laid out.
    stored = torch.from_numpy(rows_of(image)).reshape(1, height, width, 3).permute(0, 3, 1, 2)
    resized = F.interpolate(stored, window.full, mode="bilinear", antialias=True)[0]
    return resized[:, top : top + rows, left : left + columns]


def _sampled(pixels: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The window of the magnified image, centre to centre; its edge goes on beyond the border.

    Shapes: pixels (H, W, 3) -> (*window.size, 3)
    """
    size, corner = np.array(window.size), np.array([window.top, window.left])
    step = np.array(pixels.shape[:2]) / window.full
    first = (corner + 0.5) * step - 0.5  # (row, column) in the stored image
    begin = np.floor(first).astype(int).clip(min=0)
    end = np.floor(first + (size - 1) * step).astype(int) + 2  # and the next one's
    (top, left), (bottom, right) = begin.tolist(), end.tolist()
    (down, across), (row, column) = step.tolist(), (first - begin).tolist()
    # With a fourth channel, in half the time.
    sampled = cv2.warpAffine(
        cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_RGB2RGBA),
        np.array([[across, 0, column], [0, down, row]]),
        (window.size[1], window.size[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
        hint=cv2.ALGO_HINT_ACCURATE,  # not to a 32nd of a pixel
    )
    return cv2.cvtColor(sampled, cv2.COLOR_RGBA2RGB)


def resized_ids(ids: Tensor, window: Window) -> Tensor:
    """The window of the resized labels or instances: the nearest pixel, centre to centre.

    Shapes: ids (H, W) -> window.size
    """
    height, width = ids.shape
    if window == whole((height, width)):
        return ids
    rows = _nearest(window.top, window.size[0], height, window.full[0])
    columns = _nearest(window.left, window.size[1], width, window.full[1])
    # NumPy takes from rows three times as fast as torch; what is beyond the array there is not.
    return torch.from_numpy(ids.numpy()[rows].take(columns, axis=1, mode="clip"))


def fitted(size: Size, long: float, short: float) -> Size:
    """The largest size of the same shape with sides of at most `long` and `short`.

    mmseg cuts both limits to whole pixels first, so that its random sizes differ by up to 4 pixels.
    """
    scale = min(long / max(size), short / min(size))
    return max(int(size[0] * scale + 0.5), 1), max(int(size[1] * scale + 0.5), 1)


def _box(window: Window, size: Size) -> tuple[float, float, float, float]:
    """The window in pixels of the stored image: left, top, right, bottom."""
    (height, width), (tall, wide), (rows, columns) = size, window.full, window.size
    return (
        window.left * width / wide,
        window.top * height / tall,
        min((window.left + columns) * width / wide, width),
        min((window.top + rows) * height / tall, height),
    )


def _nearest(start: int, count: int, source: int, full: int) -> NDArray[np.int64]:
    """floor((x + 1/2) * source / full) for x from `start` on, in whole numbers."""
    return (2 * np.arange(start, start + count) + 1) * source // (2 * full)
