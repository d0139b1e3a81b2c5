"""Resizing images and labels, or any window of the resized image without making the rest."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segsuite.core.sizes import Size


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
    (tall, wide), (rows, columns) = window.full, window.size
    box = (  # the window in pixels of the stored image
        window.left * width / wide,
        window.top * height / tall,
        min((window.left + columns) * width / wide, width),
        min((window.top + rows) * height / tall, height),
    )
    stored = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    resized = stored.resize((columns, rows), Image.Resampling.BILINEAR, box)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def resized_ids(ids: Tensor, window: Window) -> Tensor:
    """The window of the resized labels or instances: the nearest pixel, centre to centre.

    Shapes: ids (H, W) -> window.size
    """
    height, width = ids.shape
    if window == whole((height, width)):
        return ids
    rows = _nearest(window.top, window.size[0], height, window.full[0])
    columns = _nearest(window.left, window.size[1], width, window.full[1])
    return ids.index_select(0, rows).index_select(1, columns)


def fitted(size: Size, long: float, short: float) -> Size:
    """The largest size of the same shape with sides of at most `long` and `short`.

    mmseg cuts both limits to whole pixels first, so that its random sizes differ by up to 4 pixels.
    """
    scale = min(long / max(size), short / min(size))
    return max(int(size[0] * scale + 0.5), 1), max(int(size[1] * scale + 0.5), 1)


def _nearest(start: int, count: int, source: int, full: int) -> Tensor:
    """floor((x + 1/2) * source / full) for x from `start` on, in whole numbers."""
    return (2 * torch.arange(start, start + count) + 1) * source // (2 * full)
