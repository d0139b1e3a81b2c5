"""Splits that nobody typed: the folders or lists that a data set has, or shares of all samples."""

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from segsuite.data.readers.decode import is_image
from segsuite.data.readers.patterns import folder_of
from segsuite.data.readers.splits import Part, Split

SHARES = {"train": 0.8, "val": 0.2}
_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}

logger = logging.getLogger(__name__)


def settled(
    splits: Mapping[str, Split | None], images: str, patterns: Collection[str], root: Path
) -> dict[str, Split | Part]:
    """Where each split is, in the order of `splits`; null ones that are nowhere are left out.

    Null stands for the folders `images/train`, `images/val` and `images/test`, else the lists
    `train.txt`, `val.txt` and `test.txt`, else 80 : 20 of all. Of a training folder or list
    without one for validation, 20 % are validated on.

    Args:
        images: the pattern of the images, and `patterns` those of images and masks.
    """
    null = [name for name, split in splits.items() if split is None]
    if any(isinstance(split, int | float) for split in splits.values()):
        _warn_of_folders(folder_of(images, root, ""))
    if not null:
        return {name: split for name, split in splits.items() if split is not None}
    if any("{split}" in pattern for pattern in patterns):
        own = _by_pattern(null, patterns, root)
    elif len(null) < len(splits):
        own = {name: SHARES[name] for name in null if name in SHARES}
    else:
        own = _folders(folder_of(images, root, "")) or _lists(root) or SHARES
    places = {name: own.get(name) if split is None else split for name, split in splits.items()}
    return {name: split for name, split in places.items() if split is not None}


def _by_pattern(null: list[str], patterns: Collection[str], root: Path) -> dict[str, Split | Part]:
    """The folders that stand at `{split}`; train and val are called so where there are none."""
    there = {
        folder: all(folder_of(p, root, folder).is_dir() for p in patterns if "{split}" in p)
        for name in null
        for folder in _NAMES.get(name, ())
    }
    named = {name: [f for f in _NAMES.get(name, ()) if there[f]] for name in null}
    default = {name: name for name in null if name in SHARES}
    return default | {name: folders[0] for name, folders in named.items() if folders}


def _folders(top: Path) -> dict[str, Split | Part]:
    """The folders of that names below the images' one; none unless they are two or more."""
    entries = sorted(os.listdir(top)) if top.is_dir() else []
    names = [name for name in entries if not name.startswith(".") and (top / name).is_dir()]
    splits = _matched(names)
    if not splits:
        return {}
    used = {part.name for part in splits.values()}
    rest = [name for name in names if name not in used]
    rest += ["the images beside them"] if any(map(is_image, set(entries) - set(names))) else []
    logger.info("splits are the folders of %s: %s", top, _told(splits))
    if rest:
        logger.warning("in %s, %s belong to no split", top, ", ".join(rest[:5]))
    return splits


def _warn_of_folders(top: Path) -> None:
    """Says so where shares that were typed are drawn over the folders of splits."""
    names = os.listdir(top) if top.is_dir() else []
    if splits := _matched([name for name in names if (top / name).is_dir()]):
        logger.warning(
            "data.reader.splits draws shares over all folders of %s, which look like splits "
            "themselves (%s); leave data.reader.splits out to keep them apart",
            top,
            _told(splits),
        )


def _lists(root: Path) -> dict[str, Split | Part]:
    names = [f"{name}.txt" for all_names in _NAMES.values() for name in all_names]
    splits = _matched([name for name in names if (root / name).is_file()])
    if splits:
        logger.info("splits are the lists of %s: %s", root, _told(splits))
    return splits


def _matched(names: Collection[str]) -> dict[str, Part]:
    """The split that each name stands for, upper case or lower; none without `train` and one more.

    `train` alone may as well be one of several scenes.
    """
    low = {name.lower().removesuffix(".txt"): name for name in names}
    splits = {
        split: Part(low[spelt[0]])
        for split, words in _NAMES.items()
        if (spelt := [word for word in words if word in low])
    }
    if "train" not in splits or len(splits) < 2:
        return {}
    if "val" not in splits:
        name = splits["train"].name
        splits["train"], splits["val"] = (
            Part(name, 0, SHARES["train"]),
            Part(name, SHARES["train"], 1),
        )
    return splits


def _told(splits: Mapping[str, Part]) -> str:
    return ", ".join(f"{split} = {part}" for split, part in sorted(splits.items()))
