"""Which samples belong to a split: a folder's, a list file's, or a share of all."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.decode import IMAGE_SUFFIXES

Split = str | float
"""A folder's name, a list file (`*.txt`), or a share between 0 and 1."""


def chosen(
    name: str, splits: Mapping[str, Split], ids: Sequence[str], root: Path
) -> tuple[list[str], list[str]]:
    """The ids of split `name`, sorted, out of all that were found; and what a list names in vain.

    Raises:
        ConfigError: shares that are not between 0 and 1 or add up to more than 1.
        DataError: the list file is absent.
    """
    split = splits[name]
    if isinstance(split, int | float):
        return _share(name, splits, ids), []
    if is_list(split):
        return _listed(root / split, ids)
    return sorted(ids), []


def is_list(split: Split) -> bool:
    """Whether a split is given by a list file."""
    return isinstance(split, str) and split.endswith(".txt")


def _share(name: str, splits: Mapping[str, Split], ids: Sequence[str]) -> list[str]:
    """A share of the ids in the order of their hashes, so that no split is a run of one film."""
    shares = {key: s for key, s in splits.items() if isinstance(s, int | float)}
    if any(not 0 <= s <= 1 for s in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise ConfigError(
            f"data.reader.splits={shares}: shares lie in 0..1 and add up to at most 1"
        )
    order = sorted(ids, key=lambda sample: hashlib.sha256(sample.encode()).digest())
    start = sum(list(shares.values())[: list(shares).index(name)])
    bounds = (round(start * len(ids)), round((start + shares[name]) * len(ids)))
    return sorted(order[slice(*bounds)])


def _listed(path: Path, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """The ids that a list file names, as ids or as paths of the images (first column)."""
    if not path.is_file():
        raise DataError(f"the list {path} of data.reader.splits is not there")
    names = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    known = {sample.rsplit("/", 1)[-1]: sample for sample in ids}
    known.update((sample, sample) for sample in ids)
    found: set[str] = set()
    gaps: list[str] = []
    for name in names:
        sample = _without_suffix(name)
        match = known.get(sample) or known.get(sample.rsplit("/", 1)[-1])
        if match is None:
            gaps.append(f"{path} names {name}, of which there is no pair")
        else:
            found.add(match)
    return sorted(found), gaps


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name
