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
from segsuite.engine.inference.exported import ExportedPredictor
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
    pixels = _planes(image, predictor)
    (labels,) = predictor.labels([predictor.shown(pixels)], [size_of(pixels)])
    return labels.cpu().numpy()


def segments_of(
    image: Given, predictor: Predictor
) -> tuple[NDArray[np.integer], NDArray[np.int32]]:
    """Class numbers, IGNORE for void, and instance ids of an image at its own size.

    Shapes: (H, W), (H, W)

    Raises:
        ConfigError: the network, or the file, tells no things apart.
        ConfigError, DataError: as `pixels_of` raises them.
    """
    pixels = _planes(image, predictor)
    (answer,) = predictor.answers([predictor.shown(pixels)], [size_of(pixels)])
    if answer.segments is None:
        raise ConfigError(_without_segments(predictor))
    found = answer.segments
    return found.labels.cpu().numpy(), found.instances.cpu().numpy()


def _without_segments(predictor: Predictor) -> str:
    """What to do where there are classes alone; a file does not say what its network knows."""
    if isinstance(predictor, ExportedPredictor):
        return (
            "this file gives classes alone, and tells no things apart; if its network is a "
            "panoptic one, export it again with formats=[onnx] output=labels, or give the "
            "checkpoint; else take predict()"
        )
    return (
        "this network gives classes alone, and tells no things apart; take predict(), or a network "
        "of method=panoptic or method=hyctas_panoptic"
    )


def _planes(image: Given, predictor: Predictor) -> Tensor:
    """(3, H, W), as predict gives images."""
    pixels = torch.from_numpy(pixels_of(image, white=predictor.white))
    return pixels.permute(2, 0, 1).contiguous()


def picture_of(
    image: Given,
    labels: Any,
    predictor: Predictor,
    *,
    instances: Any = None,
    opacity: float = 0.5,
    legend: bool = True,
) -> Image.Image:
    """The image under the colours of its labels, as `python -m segsuite.predict` overlays it.

    Args:
        instances: ids between which lines are drawn; None for no lines.
        legend: whether the classes that are in it stand below, in their colours.

    Shapes: labels, instances (H, W), of the image's size; negative labels are no class
    """
    pixels, labels = pixels_of(image, white=predictor.white), np.asarray(labels)
    instances = None if instances is None else np.asarray(instances)
    for name, ids in (("labels", labels), ("instances", instances)):
        if ids is not None and ids.shape != pixels.shape[:2]:
            raise ConfigError(
                f"the {name} are {ids.shape}, and the image is {pixels.shape[:2]}; give {name} of "
                "each of its pixels, (H, W)"
            )
    kind = {"instances": instances, "opacity": opacity, "legend": legend}
    return overlaid(pixels.transpose(2, 0, 1), labels, predictor.classes, **kind)
