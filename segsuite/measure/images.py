"""Real images of one size, to measure on: what a token-reducing network does depends on them."""

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import DataError
from segsuite.core.sizes import Size


def images_of(batches: Iterable[Mapping[str, Any]], *, count: int, size: Size) -> Tensor:
    """The first `count` images of an evaluation loader, resized.

    Shapes: -> (count, 3, *size) uint8

    Raises:
        DataError: there are fewer.
    """
    images = chain.from_iterable(batch["image"] for batch in batches)
    selected = [resized(image, size) for image in islice(images, count)]
    if len(selected) < count:
        raise DataError(
            f"{count} images to measure on were asked for, but the data set has {len(selected)}; "
            f"type images={max(len(selected), 1)}"
        )
    return torch.stack(selected)


def validation_images(data: Any, *, count: int, size: Size) -> Tensor:
    """The first `count` validation images of a data module, resized.

    Shapes: -> (count, 3, *size) uint8

    Raises:
        DataError: there are fewer.
    """
    data.prepare_data()
    data.setup("validate")
    return images_of(data.val_dataloader(), count=count, size=size)


def resized(image: Tensor, size: Size) -> Tensor:
    """The image at another size, bilinear with antialiasing, as uint8.

    Shapes: image (3, h, w), 0..255 -> (3, *size)
    """
    # Not by Pillow, which the data's transforms resize by: it rounds otherwise, and a sixth of the
    # pixels would be one level from those that earlier figures were measured on.
    if tuple(image.shape[-2:]) == tuple(size):
        return image.to(torch.uint8)
    scaled = F.interpolate(
        image[None].float(), size=tuple(size), mode="bilinear", align_corners=False, antialias=True
    )
    return scaled[0].round().clamp(0, 255).to(torch.uint8)


def batch_of(images: Tensor, batch: int, turn: int) -> Tensor:
    """Images for one round: each round takes the next ones, around and around.

    Shapes: images (P, 3, H, W) -> (batch, 3, H, W)
    """
    first = turn * batch
    index = torch.arange(first, first + batch, device=images.device) % images.shape[0]
    return images[index]
