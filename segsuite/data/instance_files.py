"""Cityscapes' instance results: a text file for each image, and a mask for each instance in it.

A line is "MASK ID SCORE": the path of a PNG beside the text file whose pixels are above 0 inside
the instance, the raw id of its class, and how sure it is.
"""

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import DataError
from segsuite.core.files import written_whole
from segsuite.core.sizes import Size
from segsuite.data.readers.decode import decode_mask


class Instance(NamedTuple):
    """An instance that was predicted, as a line tells of it.

    Attributes:
        mask: the PNG file.
        category: the raw id of its class, such as 26 for cars.
    """

    mask: Path
    category: int
    score: float


def write_instances(
    folder: Path,
    name: str,
    instances: NDArray[Any],
    ids: Sequence[int],
    categories: Sequence[int],
    scores: Sequence[float],
) -> Path:
    """Writes NAME.txt and its masks, in a folder beside; returns the text file.

    The official evaluator pairs files by CITY_SEQUENCE_FRAME, with which a name must begin.

    Shapes: instances (H, W), the id of the instance of each pixel, or 0

    Args:
        ids, categories, scores: of each instance; those without a pixel are left out.
    """
    if " " in name:
        raise DataError(f"`{name}` has a space, which separates what stands in a line; rename it")
    lines = []
    for number, (instance, category, score) in enumerate(zip(ids, categories, scores, strict=True)):
        mask = instances == instance
        if not mask.any():
            continue
        file = f"{name}_masks/{number:03}.png"
        with written_whole(folder / file) as beside:
            Image.fromarray(mask.astype(np.uint8) * 255).save(beside)
        lines.append(f"{file} {category} {float(score)!r}\n")
    path = folder / f"{name}.txt"
    with written_whole(path) as beside:
        beside.write_text("".join(lines), encoding="utf-8")
    return path


def read_instances(path: Path, *, root: Path | None = None) -> list[Instance]:
    """What a text file tells, in its order.

    Args:
        root: the folder that masks must be in; None for the text file's own.

    Raises:
        DataError: naming the file and the line, where it is absent, a line is none, or a mask is
            elsewhere or told twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    within = (root or path.parent).resolve()
    told: dict[Path, Instance] = {}
    for number, line in enumerate(lines, start=1):
        where = f"line {number} of {path}"
        try:
            file, category, score = line.split(" ")
            category, score = int(float(category)), float(score)
            if not math.isfinite(score):
                raise ValueError("no finite score")
        except ValueError as error:
            raise DataError(
                f"{where} is `{line}` ({error}); need `MASK.png ID SCORE`, such as "
                "`ulm_000000_000019_masks/000.png 26 0.93`"
            ) from error
        mask = (path.parent / PurePosixPath(file)).resolve()
        if PurePosixPath(file).is_absolute() or not mask.is_relative_to(within):
            raise DataError(f"{where} points to {file}, outside of {within}; write a path in there")
        if mask in told:
            raise DataError(f"{where} tells of {file} again; each instance needs a mask of its own")
        told[mask] = Instance(mask, category, score)
    return list(told.values())


def read_masks(instances: Sequence[Instance], size: Size) -> NDArray[np.int32]:
    """(N, H, W) number of each instance, from 1 on, inside its mask and 0 elsewhere.

    As masks may overlap each has a layer of its own, which is what InstanceAP takes.

    Raises:
        DataError: naming the file, for a mask that is absent, holds colours or has another size.
    """
    layers = np.zeros((len(instances), *size), np.int32)
    for number, instance in enumerate(instances):
        mask = decode_mask(instance.mask)
        if mask.shape != size:
            raise DataError(
                f"{instance.mask} is {mask.shape[0]}x{mask.shape[1]} (height x width), but its "
                f"image {size[0]}x{size[1]}; write masks of the image's size"
            )
        layers[number] = (mask != 0) * (number + 1)
    return layers
