"""Which samples belong to a split: a folder's, a list file's, or a share of all."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
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
        DataError: the list file is absent, or no text.
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


def check_folders(split: Split, patterns: Collection[str]) -> None:
    """Raises ConfigError where a split is a folder that no pattern heeds, or the other way round.

    Without `{split}`, all splits that are folders would hold the same samples.
    """
    by_folder = isinstance(split, str) and not is_list(split)
    if by_folder == any("{split}" in pattern for pattern in patterns):
        return
    shown = " and ".join(dict.fromkeys(patterns))
    if by_folder:
        raise ConfigError(
            f"data.reader.splits names the folder `{split}`, but {shown} have no {{split}}; put "
            "it where the folder stands, such as 'data.reader.images=\"images/{split}/{id}.*\"'"
        )
    raise ConfigError(
        f"data.reader.splits has `{split}`, which is no folder, but {shown} look into one for "
        "{split}; give patterns without {split} as data.reader.images=... and data.reader.masks=..."
    )


def why_none(split: Split, count: int) -> str:
    """Why a split has none of the `count` pairs that there are, and what to type."""
    if is_list(split):
        return f"the list {split} names none of the {count} pairs; write their names, one a line"
    return (
        f"a share of {split} of {count} {'pair' if count == 1 else 'pairs'} is none; add pictures, "
        "or name those of each split in a list, one a line, and type "
        "'data.reader.splits={train: train.txt, val: val.txt}' (a name may stand in both)"
    )


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
    """The ids that a list file names, a line each: ids, or paths of files or the ends of paths.

    Lines may have further columns, as SegNet's (see `_column`).
    """
    if not path.is_file():
        raise DataError(f"the list {path} of data.reader.splits is not there")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no list of names, one a line ({error})") from error
    known, endings = set(ids), _by_ending(ids)
    found: set[str] = set()
    gaps: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        name = _column(line, known, endings)
        matches = _named(name, known, endings)
        if not matches:
            gaps.append(f"{path} names {name}, of which there is no pair")
        elif len(matches) > 1:
            gaps.append(f"{path} names {name}, which may be {' or '.join(sorted(matches)[:5])}")
        else:
            found.update(matches)
    return sorted(found), gaps


def _column(line: str, known: set[str], endings: Mapping[str, list[str]]) -> str:
    """The first column of a line, or all of it where that is one name with spaces in it.

    `a.png 1` has columns; `photo (1).png` has none, though there may be a `photo` as well.
    """
    first, sample = line.split()[0], _without_suffix(line)
    if sample in known:
        return line
    if _without_suffix(first) != first:
        return first
    whole = sample != line and "/" not in line[len(first) :]  # a path would be another column
    return line if whole or _named(line, known, endings) else first


def _named(name: str, known: set[str], endings: Mapping[str, list[str]]) -> list[str]:
    """The ids that a name may mean: of the two paths, one is the end of the other."""
    sample = _without_suffix(name)
    parts = sample.split("/")
    for first in range(len(parts)):
        if (end := "/".join(parts[first:])) in known:
            return [end]
    return endings.get(sample, [])


def _by_ending(ids: Sequence[str]) -> dict[str, list[str]]:
    """The ids by each end of their paths: `ulm/a` by `ulm/a` and by `a`."""
    endings: dict[str, list[str]] = defaultdict(list)
    for sample in ids:
        parts = sample.split("/")
        for first in range(len(parts)):
            endings["/".join(parts[first:])].append(sample)
    return dict(endings)


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name
