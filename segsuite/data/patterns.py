"""File patterns such as `images/{split}/{id}.jpg`, and the files that they find.

`{id}` may span folders (Cityscapes sorts by city); an end of `.*` stands for any picture suffix.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.decode import IMAGE_SUFFIXES

_ANY = ".*"


def found(pattern: str, root: Path, split: str) -> dict[str, Path]:
    """The files that match, by id; empty when the folder is not there.

    Raises:
        ConfigError: a pattern without `/{id}`.
        DataError: two files of one id, such as `a.jpg` and `a.png`.
    """
    folder, end = _halves(pattern)
    top = root / folder.replace("{split}", split)
    files: dict[str, Path] = {}
    for name in _names_below(top, ""):
        if (sample := _id_of(name, end)) is None:
            continue
        if sample in files:
            raise DataError(f"{files[sample]} and {top / name} are both the file of `{sample}`")
        files[sample] = top / name
    return files


def layout(pattern: str, split: str) -> str:
    """The pattern as users read it in messages: `images/training/*.jpg`.

    Raises:
        ConfigError: a pattern without `/{id}`.
    """
    folder, end = _halves(pattern)
    return f"{folder.replace('{split}', split)}*{'.jpg|.png|...' if end == _ANY else end}"


def _halves(pattern: str) -> tuple[str, str]:
    """What stands before `{id}`, a folder, and after it."""
    folder, mark, end = pattern.partition("{id}")
    if not mark or (folder and not folder.endswith("/")) or not end:
        raise ConfigError(
            f"`{pattern}` is no file pattern; write one like images/{{split}}/{{id}}.png"
        )
    return folder, end


def _id_of(name: str, end: str) -> str | None:
    if end == _ANY:
        sample, suffix = os.path.splitext(name)
        return sample if suffix.lower() in IMAGE_SUFFIXES else None
    return name.removesuffix(end) if name.endswith(end) else None


def _names_below(folder: Path, prefix: str) -> Iterator[str]:
    """Paths of files relative to the first folder, with `/`; hidden ones are left out."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _names_below(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name
