"""One image, in a file or in memory, to its labels and to a picture of them."""

from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.data.readers.decode import decode_image, rgb_of
from segsuite.engine.inference.framing import size_of
from segsuite.engine.inference.label_files import overlaid
from segsuite.engine.inference.prediction import Predictor

Given = str | PathLike | Image.Image | NDArray | Tensor
"""A file, or what one becomes."""


def pixels_of(image: Given, *, white: float | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of an image: a file's upright, as a viewer shows it.

    Args:
        image: a path; a PIL image, as it is; an array (H, W, 3) RGB or (H, W) grey, uint8; or a
            tensor (3, H, W), uint8.
        white: what is white in grey images with more than 8 bits.

    Raises:
        ConfigError: it is something else, such as floats, whose range would have to be guessed.
        DataError: a file cannot be decoded.
    """
    if isinstance(image, str | PathLike):
        return decode_image(image, white=white)
    if isinstance(image, Image.Image):
        return rgb_of(image, "the image", white=white)
    pixels = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if isinstance(image, Tensor) and pixels.ndim == 3:
        channels, pixels = len(pixels), np.moveaxis(pixels, 0, -1)
    else:
        pixels = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
        channels = pixels.shape[-1] if pixels.ndim == 3 else 0
    if pixels.dtype != np.uint8 or channels != 3 or not pixels.size:
        raise ConfigError(
            f"the image is a {type(image).__name__} {tuple(getattr(image, 'shape', ()))} of "
            f"{getattr(image, 'dtype', pixels.dtype)}; give a path, a PIL image, an array "
            "(H, W, 3) RGB or (H, W) grey of uint8, or a tensor (3, H, W) of uint8"
        )
    return pixels


def labels_of(image: Given, predictor: Predictor) -> NDArray[np.integer]:
    """(H, W) class numbers of an image at its own size, in a narrow integer type.

    Raises:
        ConfigError, DataError: as `pixels_of` raises them.
    """
    pixels = torch.from_numpy(pixels_of(image, white=predictor.white))
    pixels = pixels.permute(2, 0, 1).contiguous()  # as predict gives images
    (labels,) = predictor.labels([predictor.shown(pixels)], [size_of(pixels)])
    return labels.cpu().numpy()


def picture_of(
    image: Given, labels: Any, predictor: Predictor, *, opacity: float = 0.5, legend: bool = True
) -> Image.Image:
    """The image under the colours of its labels, as `python -m segsuite.predict` overlays it.

    Args:
        legend: whether the classes that are in it stand below, in their colours.

    Shapes: labels (H, W), of the image's size; negative ones are no class
    """
    pixels, labels = pixels_of(image, white=predictor.white), np.asarray(labels)
    if labels.shape != pixels.shape[:2]:
        raise ConfigError(
            f"the labels are {labels.shape}, and the image is {pixels.shape[:2]}; give labels of "
            "each of its pixels, (H, W)"
        )
    return overlaid(
        pixels.transpose(2, 0, 1), labels, predictor.classes, opacity=opacity, legend=legend
    )
