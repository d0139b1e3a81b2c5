"""Images as OpenCV and Pillow take them, (H, W, 3), and as torch does, (3, H, W)."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Samples are made in as many processes as there are workers, each in one thread; and threads of
# OpenCV's do not survive the fork of a worker.
cv2.setNumThreads(0)


def rows_of(image: Tensor) -> NDArray[np.uint8]:
    """(H, W, 3), without a copy where the memory is in that order: that of all decoders.

    Rows may have a gap between them, as those of a crop.

    Shapes: image (3, H, W)
    """
    pixels = image.permute(1, 2, 0)
    return (pixels if pixels.stride()[1:] == (3, 1) else pixels.contiguous()).numpy()


def of_rows(pixels: NDArray[np.uint8]) -> Tensor:
    """(3, H, W), without a copy.

    Shapes: pixels (H, W, 3)
    """
    return torch.from_numpy(pixels).permute(2, 0, 1)


def planes(image: Tensor) -> Tensor:
    """The same, contiguous; five times as fast as torch where the memory is in a decoder's order.

    Shapes: image (3, H, W) -> (3, H, W)
    """
    if image.is_contiguous():
        return image
    made = torch.empty(image.shape, dtype=image.dtype)
    cv2.split(rows_of(image), [*made.numpy()])
    return made
