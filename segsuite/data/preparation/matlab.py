"""Masks in MATLAB files: COCO-Stuff 10k, and the Semantic Boundaries Dataset."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import DataError, MissingExtra
from segsuite.data.preparation import jobs

_COCO_IDS = 182
_VERSION_1_0_NAMES = 172


def coco_stuff(path: Path) -> NDArray[np.uint8]:
    """(H, W) ids of COCO-Stuff 10k v1.1 as stuffthingmaps has them: id - 1, 255 for unlabelled.

    Raises:
        DataError: the file is unreadable, of version 1.0 (other ids), or holds ids beyond 182.
    """
    content = _read(path)
    if "S" not in content:
        raise DataError(f"{path} has no label map `S`; give annotations of COCO-Stuff 10k")
    labels = np.asarray(content["S"])
    if len(np.ravel(content.get("names", ()))) == _VERSION_1_0_NAMES:
        raise DataError(f"{path} is of version 1.0, whose ids differ; take cocostuff-10k-v1.1.zip")
    if labels.max(initial=0) > _COCO_IDS:
        raise DataError(f"{path} holds the id {labels.max()}, beyond COCO's {_COCO_IDS}")
    return (labels.astype(np.int32) - 1).astype(np.uint8)  # 0 becomes 255


def boundaries(path: Path) -> NDArray[np.uint8]:
    """(H, W) ids of the Semantic Boundaries Dataset: VOC's 0..20.

    Raises:
        DataError: the file is unreadable, or holds ids beyond 20.
    """
    content = _read(path)
    try:
        labels = np.asarray(content["GTcls"]["Segmentation"][0, 0])
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"{path} has no `GTcls.Segmentation`; give the files of SBD's `cls` folder"
        ) from error
    if labels.max(initial=0) > 20:
        raise DataError(f"{path} holds the id {labels.max()}, beyond VOC's 20")
    return labels.astype(np.uint8)


def convert(read: Callable[[Path], NDArray[np.uint8]], path: Path, target: Path) -> None:
    """Writes one mask, which `read` makes of a file; a task for `jobs.in_parallel`."""
    jobs.write_mask(target, read(path))


def read_names(path: Path) -> list[str]:
    """The names in a list file, one a line.

    Raises:
        DataError: it is not there.
    """
    if not path.is_file():
        raise DataError(f"there is no list {path}")
    return path.read_text().split()


def absent(paths: Iterable[Path]) -> None:
    """Raises DataError, with the first few names, for files that are not there."""
    gone = [path for path in paths if not path.is_file()]
    if gone:
        shown = ", ".join(map(str, gone[:5]))
        raise DataError(f"{len(gone)} files are not there, such as {shown}")


def _read(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtra("scipy, which reads MATLAB files,", "prepare") from error
    try:
        return loadmat(path)
    except Exception as error:  # scipy raises a dozen kinds for files that were cut short
        raise DataError(f"{path} is not a whole MATLAB file ({error})") from error
