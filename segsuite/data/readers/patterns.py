"""File patterns such as `images/{split}/{id}.jpg`, and the files that they find.

`{id}` may span folders (Cityscapes sorts by city); what a name begins with may stand before it, as
in `masks/gt_{id}.png`; an end of `.*` stands for any image suffix.
"""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.readers.decode import IMAGE_SUFFIXES

_ANY = ".*"
_UNDECODED = re.compile("[\ud800-\udfff]")
"""What Python puts for bytes of a file's name that are no UTF-8."""


def found(
    pattern: str, root: Path, split: str, suffixes: Collection[str] = IMAGE_SUFFIXES
) -> dict[str, Path]:
    """The files that match, by id; empty when the folder is not there.

    Args:
        suffixes: the suffixes that `.*` stands for.

    Raises:
        ConfigError: a pattern without `/{id}`.
        DataError: two files of one id, such as `a.jpg` and `a.png`; a name that is no UTF-8, or a
            link to a folder that the link itself lies in.
    """
    _, begin, end = _parts(pattern)
    top = folder_of(pattern, root, split)
    files: dict[str, Path] = {}
    for name in names_below(top):
        if (sample := _id_of(name, begin, end, suffixes)) is None:
            continue
        if _UNDECODED.search(sample):
            raise DataError(
                f"the name of {str(top / name)!a} is not UTF-8, so that no list and no result "
                "can name it; rename the file"
            )
        if sample in files:
            raise DataError(f"{files[sample]} and {top / name} are both the file of `{sample}`")
        files[sample] = top / name
    return files


def folder_of(pattern: str, root: Path, split: str) -> Path:
    """The folder in which a pattern looks."""
    return root / _parts(pattern)[0].replace("{split}", split)


def layout(pattern: str, split: str, suffixes: str = ".jpg|.png|...") -> str:
    """The pattern as users read it in messages: `images/training/*.jpg`.

    Args:
        suffixes: what users read in place of `.*`.

    Raises:
        ConfigError: a pattern without `/{id}`.
    """
    folder, begin, end = _parts(pattern)
    top = folder.replace("{split}", split)
    return f"{top}{begin}*{suffixes if end == _ANY else end}"


def _parts(pattern: str) -> tuple[str, str, str]:
    """The folder, what a name has before its id, and what it has after it."""
    before, mark, end = pattern.partition("{id}")
    folder, slash, begin = before.rpartition("/")
    if not mark or not end or "{split}" in begin:
        raise ConfigError(
            f"`{pattern}` is no file pattern; write one like images/{{split}}/{{id}}.png"
        )
    return folder + slash, begin, end


def _id_of(name: str, begin: str, end: str, suffixes: Collection[str]) -> str | None:
    if end == _ANY:
        sample, suffix = os.path.splitext(name)
        matches = suffix.lower() in suffixes
    else:
        sample, matches = name.removesuffix(end), name.endswith(end)
    if not begin or not matches:
        return sample if matches else None
    folder, slash, last = sample.rpartition("/")
    return folder + slash + last.removeprefix(begin) if last.startswith(begin) else None


def names_below(folder: Path, prefix: str = "") -> Iterator[str]:
    """Paths of files relative to the first folder, with `/`; hidden ones are left out.

    What is neither file nor folder, such as a link to itself, is named when it is to be decoded.

    Raises:
        DataError: a link to a folder in which it lies.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                yield from names_below(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_dir():
            return False
    except OSError:  # a link to itself
        return False
    if entry.is_symlink():
        target, here = os.path.realpath(entry.path), os.path.realpath(os.path.dirname(entry.path))
        if os.path.commonpath([target, here]) == target:
            raise DataError(
                f"{entry.path} is a link to {target}, in which it lies; remove the link"
            )
    return True
