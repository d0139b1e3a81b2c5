"""Which samples belong to a split: a folder's, a list file's, or a share of all."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.readers.decode import IMAGE_SUFFIXES
from segsuite.data.samples import Samples

logger = logging.getLogger(__name__)

Split = str | float
"""A folder's name, a list file (`*.txt`), or a share between 0 and 1."""


@dataclass(frozen=True)
class Part:
    """A split that the data set has itself: the samples of a folder or list, or a share of them.

    Attributes:
        name: name of the folder with which their ids begin, or of the list file.
        start, stop: begin and end of the share, between 0 and 1, in the order in which shares are
            drawn.
    """

    name: str
    start: float = 0
    stop: float = 1

    def __str__(self) -> str:
        share = self.stop - self.start
        return self.name if share == 1 else f"{share:.0%} of {self.name}"


def chosen(
    name: str, splits: Mapping[str, Split | Part], ids: Collection[str], root: Path
) -> tuple[list[str], list[str]]:
    """The ids of split `name`, sorted, out of all that were found; and what a list names in vain.

    Raises:
        ConfigError: shares that are not between 0 and 1 or add up to more than 1.
        DataError: the list file is absent, or no text.
    """
    split = splits[name]
    if isinstance(split, Part):
        if is_list(split):
            of_it, gaps = _listed(root / split.name, ids)
        else:
            of_it, gaps = [i for i in ids if i.startswith(f"{split.name}/")], []
        return _between(of_it, split.start, split.stop), gaps
    if isinstance(split, int | float):
        return _share(name, splits, ids), []
    if is_list(split):
        return _listed(root / split, ids)
    return sorted(ids), []


def is_list(split: Split | Part | None) -> bool:
    """Whether a split is given by a list file."""
    name = split.name if isinstance(split, Part) else split
    return isinstance(name, str) and name.endswith(".txt")


def check_folders(split: Split | None, patterns: Collection[str]) -> None:
    """Raises ConfigError where a split is a folder that no pattern heeds, or the other way round.

    Without `{split}`, all splits that are folders would hold the same samples.
    """
    if split is None:  # both ways are looked for
        return
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


def warn_of_shared(opened: Mapping[str, Samples], split: str) -> None:
    """Says how many images of a split are also in those that were opened before it."""
    ours = _images(opened[split])
    for other, samples in opened.items():
        if other == split:
            return
        if count := len(ours & _images(samples)):
            logger.warning(
                "%d of %d images of split `%s` are also in split `%s`: scores on them say nothing "
                "of new images; see data.reader.splits",
                *(count, len(ours), split, other),
            )


def _images(samples: Samples) -> set[Path]:
    return {samples.files(n)[0] for n in range(len(samples))} if samples.files(0) else set()


def why_none(split: Split | Part, count: int) -> str:
    """Why a split has none of the `count` pairs that there are, and what to type."""
    if isinstance(split, Part) and split.stop - split.start < 1:
        split = round(split.stop - split.start, 6)
    if is_list(split):
        return f"the list {split} names none of the {count} pairs; write their names, one a line"
    return (
        f"a share of {split} of {count} {'pair' if count == 1 else 'pairs'} is none; add images, "
        "or name those of each split in a list, one a line, and type "
        "'data.reader.splits={train: train.txt, val: val.txt}' (a name may stand in both)"
    )


def _share(name: str, splits: Mapping[str, Split | Part], ids: Collection[str]) -> list[str]:
    """A share of the ids; those of the splits before it are others."""
    shares = {key: s for key, s in splits.items() if isinstance(s, int | float)}
    if any(not 0 <= s <= 1 for s in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise ConfigError(
            f"data.reader.splits={shares}: shares lie in 0..1 and add up to at most 1"
        )
    start = sum(list(shares.values())[: list(shares).index(name)])
    return _between(ids, start, start + shares[name])


def _between(ids: Collection[str], start: float, stop: float) -> list[str]:
    """A share of the ids in the order of their hashes, so that no split is a run of one film."""
    order = sorted(ids, key=lambda sample: hashlib.sha256(sample.encode()).digest())
    return sorted(order[round(start * len(ids)) : round(stop * len(ids))])


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
    named: set[str] = set()
    gaps: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        name = _column(line, known, endings)
        matches = _named(name, known, endings)
        if not matches:
            gaps.append(f"{path} names {name}, of which there is no pair")
        elif len(matches) > 1:
            gaps.append(f"{path} names {name}, which may be {' or '.join(sorted(matches)[:5])}")
        else:
            named.update(matches)
    return sorted(named), gaps


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
