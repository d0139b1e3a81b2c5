"""The images that are to be segmented, and what the files of each answer are called."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.readers.decode import IMAGE_SUFFIXES, is_image


@dataclass(frozen=True)
class Source:
    """An image file.

    Attributes:
        path: where the file is.
        name: what files of its answer are called, without a suffix; with folders, as in the input.
    """

    path: Path
    name: str

    @property
    def file(self) -> str:
        """The name of the image file itself; with folders where its answer's has some."""
        return Path(self.name).with_name(self.path.name).as_posix()


@dataclass(frozen=True)
class Sources:
    """Images by name, and files beside them that are none.

    Attributes:
        images: sorted by their paths.
        others: how many files there are of each other suffix.
    """

    images: tuple[Source, ...]
    others: Counter[str]


def as_path(given: Any, *, key: str) -> str:
    """A path that is typed as `key`, as text.

    Raises:
        ConfigError: it is not given, empty, or YAML reads it as something else than text.
    """
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)  # a folder that is called 3
    if isinstance(given, str) and given.strip():
        return given
    hint = f'; a path of that name is typed as {key}="./{given}"' if given is not None else ""
    raise ConfigError(f"{key}={given} is no path; type {key}=PATH{hint}")


def input_and_output(input: Any, output: Any, *, wanted: str) -> tuple[str, Path]:
    """What is to be segmented, as text, and where the answers go.

    Args:
        wanted: what to type, for the message.

    Raises:
        ConfigError: one of them is not given, or is no path.
    """
    if input is None or output is None:
        raise ConfigError(f"give {wanted}")
    return as_path(input, key="input"), Path(as_path(output, key="output")).expanduser()


def images_of(given: str, *, without: Sequence[Path] = ()) -> Sources:
    """The image, or those of the folder and its sub-folders, or those that the glob finds.

    Hidden files and folders are left out, such as the `._NAME` files of macOS. Names are those of
    the files without their suffixes, below the folder that was given; of a glob without folders
    where that is clear. Where two would be alike, as of a.jpg and a.png, they keep their suffixes.

    Args:
        without: folders whose files are not asked for, such as those of an output in the input.

    Raises:
        DataError: there is none.
    """
    path = Path(given).expanduser()
    if os.path.isfile(path):  # a name that is too long is no error there
        return Sources((Source(path, path.stem),), Counter())
    folder = os.path.isdir(path)
    files = _walked(path, without) if folder else _globbed(given)
    images = [file for file in files if is_image(file)]
    others = Counter(f.suffix.lower() or "no suffix" for f in files if not is_image(f))
    if not images:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        what = "no images in that folder" if folder else "no such file, folder or glob"
        several = given.split(",")
        if len(several) > 1 and all(os.path.exists(one) for one in several):
            what += ", but several of them; put them in one folder, or type a glob such as '*.jpg'"
        raise DataError(f"input={given}: {what} ({suffixes} are read)")
    base = path if folder else Path(os.path.commonpath([file.parent for file in images]))
    names = _names([file.relative_to(base) for file in images], flat=not folder)
    return Sources(tuple(map(Source, images, names)), others)


def frames_of(given: str) -> list[Path]:
    """The image, or those of the folder but not of its sub-folders, or those that the glob finds.

    Raises:
        DataError: there is none, or two have one name, which is that of a frame.
    """
    path = Path(given).expanduser()
    if os.path.isdir(path):
        inner = [inside for inside in path.iterdir() if inside.is_dir()]
        sources = images_of(given, without=inner)
    else:
        sources = images_of(given)
    stems: dict[str, Path] = {}
    for frame in (source.path for source in sources.images):
        if (other := stems.setdefault(frame.stem, frame)) != frame:
            raise DataError(f"{other} and {frame} would be one frame of a video; rename one")
    return list(stems.values())


def _walked(folder: Path, without: Iterable[Path]) -> list[Path]:
    """All files below, in order; links to folders are followed, each folder is visited once."""
    left_out = {path.resolve() for path in without if path.resolve() != folder.resolve()}
    paths, visited = [], set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_unreadable):
        visited.add(Path(here).resolve())
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and not {Path(here, name).resolve()} & (visited | left_out)
        ]
        paths += [Path(here, name) for name in files if not name.startswith(".")]
    return sorted(paths)  # with links that lead nowhere, which decoding will name


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error


def _globbed(pattern: str) -> list[Path]:
    paths = map(Path, glob.glob(os.path.expanduser(pattern), recursive=True))
    return sorted(p for p in paths if not p.is_dir() and not p.name.startswith("."))


def _names(paths: Sequence[Path], *, flat: bool) -> Iterator[str]:
    """A name for each, no two alike."""
    short = [path.stem if flat else path.with_suffix("").as_posix() for path in paths]
    if flat and len(set(short)) < len(short):
        return _names(paths, flat=False)
    counts = Counter(short)
    clear = [
        name if counts[name] == 1 else path.as_posix()
        for name, path in zip(short, paths, strict=True)
    ]
    return iter(clear if len(set(clear)) == len(clear) else [path.as_posix() for path in paths])
