"""Class tables: which raw ids the files of a data set hold, and what they are called.

Imports no torch: the config asks here for the number of classes while it is composed.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml
from numpy.typing import NDArray

from segsuite.core.errors import DataError, did_you_mean
from segsuite.core.labels import IGNORE

_UNKNOWN = -2
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C where PyYAML was built with it
_BUILT_IN = Path(__file__).parent / "classes"
_TABLE_KEYS = {"classes", "ignore", "ignored", "ignored_colors"}
_CLASS_KEYS = {"id", "name", "color", "thing", "group"}


@dataclass(frozen=True, eq=False)
class ClassTable:
    """The classes of a data set, in the order of the network's outputs.

    Attributes:
        names: one name per class.
        colors: (C, 3) uint8, the RGB colour of each class.
        ids: the raw id of each class in files.
        ignore: the raw id written for pixels without a class; None when files have none.
        ignored: further raw ids that are read as "no class".
        things: classes whose members are counted one by one.
        groups: group of each class, such as how frequent it is; scores are also reported by group.
            Empty where the table has none.
        colored: classes whose colour the table gives; those of the others are made up.
        ignored_colors: colours (r, g, b) that are read as "no class" in masks of colours.
    """

    names: tuple[str, ...]
    colors: NDArray[np.uint8]
    ids: tuple[int, ...]
    ignore: int | None = 255
    ignored: tuple[int, ...] = ()
    things: frozenset[int] = frozenset()
    groups: tuple[str, ...] = ()
    colored: frozenset[int] = frozenset()
    ignored_colors: tuple[tuple[int, int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def load(cls, table: str | Path) -> Self:
        """The table of that name among the built-in ones, or in that YAML file.

        Raises:
            DataError: there is no such table, or an entry of it does not fit.
        """
        path = _find(table)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"class table {path} cannot be read as YAML: {error}") from error
        return cls._read(text, path)

    @classmethod
    @functools.lru_cache(maxsize=32)  # the config asks for the number of classes again and again
    def _read(cls, text: str, path: Path) -> Self:
        try:
            content = yaml.load(text, Loader=_LOADER)
        except yaml.YAMLError as error:
            why = " ".join(str(error).split())  # YAML's come in several lines
            raise DataError(f"class table {path} cannot be read as YAML: {why}") from error
        return cls._parse(content, path)

    @classmethod
    def _parse(cls, content: Any, path: Path) -> Self:
        rows = content.get("classes") if isinstance(content, Mapping) else None
        if not rows or not isinstance(rows, list):
            raise DataError(
                f"class table {path} needs a list `classes: [{{id, name, color}}, ...]`"
            )
        _only(content, _TABLE_KEYS, f"class table {path}")
        ignored = content.get("ignored", [])
        if not isinstance(ignored, list):
            raise DataError(
                f"class table {path}: `ignored: {ignored}` is no list of ids, as [0, 9]"
            )
        void = content.get("ignored_colors", [])
        if not isinstance(void, list) or not all(map(_is_color, void)):
            raise DataError(
                f"class table {path}: `ignored_colors: {void}` is no list of colours, as "
                "[[0, 0, 0], [255, 255, 255]]"
            )
        for number, row in enumerate(rows):
            where = f"class {number} of {path}"
            if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
                raise DataError(f"{where} is {row!r}, but needs at least a name (in quotes if odd)")
            _only(row, _CLASS_KEYS, where)
        table = cls(
            names=tuple(row["name"] for row in rows),
            colors=_colors([row.get("color") for row in rows], path),
            ids=tuple(row.get("id", number) for number, row in enumerate(rows)),
            ignore=content.get("ignore"),
            ignored=tuple(ignored),
            things=frozenset(n for n, row in enumerate(rows) if row.get("thing", False)),
            groups=_groups([row.get("group") for row in rows], path),
            colored=frozenset(n for n, row in enumerate(rows) if row.get("color") is not None),
            ignored_colors=tuple((r, g, b) for r, g, b in void),
        )
        _check_ids(table, path)
        if twice := [name for name, count in Counter(table.names).items() if count > 1]:
            raise DataError(f"class table {path} lists the name `{twice[0]}` twice")
        return table

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The table that `to_dict` described."""
        return cls(
            names=tuple(plain["names"]),
            colors=np.asarray(plain["colors"], np.uint8).reshape(-1, 3),
            ids=tuple(plain["ids"]),
            ignore=plain["ignore"],
            ignored=tuple(plain["ignored"]),
            things=frozenset(plain["things"]),
            groups=tuple(plain.get("groups", ())),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for checkpoints."""
        return {
            "names": list(self.names),
            "colors": self.colors.tolist(),
            "ids": list(self.ids),
            "ignore": self.ignore,
            "ignored": list(self.ignored),
            "things": sorted(self.things),
            "groups": list(self.groups),
        }

    def labels(self, raw: NDArray[Any], source: str | Path) -> NDArray[Any]:
        """Class numbers of raw ids, IGNORE where there is no class; int16 where that is enough.

        Shapes: raw (...) -> (...)

        Raises:
            DataError: naming `source` and the raw ids that the table does not know.
        """
        lookup = self._lookup
        if raw.dtype != np.uint8 and raw.size and (raw.min() < 0 or raw.max() >= len(lookup)):
            raise DataError(self._unknown_message(np.unique(raw).tolist(), source))
        if raw.dtype == np.uint8:
            import cv2  # of no use to who only asks for names

            labels = cv2.LUT(raw, lookup[:256])  # a seventh of the time of lookup[raw]
        else:
            labels = lookup.take(raw)  # less than half
        if labels.size and labels.min() == _UNKNOWN:
            raise DataError(self._unknown_message(np.unique(raw).tolist(), source))
        return labels

    def raw(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Raw ids of class numbers as files hold them: uint8, uint16 or int32, whichever is enough.

        Shapes: labels (...) -> (...)
        """
        ignore = 0 if self.ignore is None else self.ignore
        highest = max(*self.ids, ignore)
        dtype = np.uint8 if highest < 2**8 else np.uint16 if highest < 2**16 else np.int32
        # IGNORE is -1, which as an index is the last entry.
        return np.array([*self.ids, ignore], dtype)[labels]

    def unknown(self, raw_ids: Iterable[int]) -> list[int]:
        """Those of the raw ids that are neither a class nor ignored, in order."""
        return sorted(set(raw_ids) - self._known)

    @functools.cached_property
    def _known(self) -> set[int]:
        return {*self.ids, *self.ignored, *(() if self.ignore is None else (self.ignore,))}

    @functools.cached_property
    def _lookup(self) -> NDArray[Any]:
        length = max(256, max(self._known) + 1)
        lookup = np.full(length, _UNKNOWN, np.int16 if len(self) < 2**15 else np.int32)
        lookup[[*self._known]] = IGNORE
        lookup[[*self.ids]] = np.arange(len(self))
        return lookup

    def _unknown_message(self, raw_ids: list[int], source: str | Path) -> str:
        unknown = self.unknown(raw_ids)
        shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        return (
            f"{source} holds the id{'s' if len(unknown) > 1 else ''} {shown}, which the class "
            f"table does not know ({len(self)} classes with ids {min(self.ids)} to "
            f"{max(self.ids)}, ignored: {sorted(self._known - set(self.ids)) or 'none'}); give the "
            "table that these masks were made with as data.classes=..., or list the ids there "
            "under `ignored`"
        )


def count_classes(table: str | Path) -> int:
    """How many classes a table has; behind `${classes_in:...}` in the config."""
    return len(ClassTable.load(table))


def distinct_colors(count: int) -> NDArray[np.uint8]:
    """(count, 3) uint8 RGB colours, neighbours in the list far apart; the same on every machine."""
    number = np.arange(count, dtype=np.int64)
    hue = number * 0x9E3779B1 % 2**32 * 1536 >> 32  # golden-ratio steps round six hue sectors
    sector, rise = hue >> 8, hue & 255
    full, none = np.full_like(rise, 255), np.zeros_like(rise)
    wheel = np.stack(  # red, green, blue in each of the six sectors
        [
            np.choose(sector, [full, 255 - rise, none, none, rise, full]),
            np.choose(sector, [rise, full, full, 255 - rise, none, none]),
            np.choose(sector, [none, none, rise, full, full, 255 - rise]),
        ],
        axis=1,
    )
    light = np.array([255, 170, 220, 130])[number % 4, None]
    grey = np.array([0, 60, 30])[number % 3, None]
    return ((wheel * (255 - grey) // 255 + grey) * light // 255).astype(np.uint8)


def _find(table: str | Path) -> Path:
    built_in = {path.stem: path for path in _BUILT_IN.glob("*.yaml")}
    if str(table) in built_in:
        return built_in[str(table)]
    path = Path(table).expanduser()
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml"):
        raise DataError(f"there is no class table at {path}; give one as data.classes=FILE.yaml")
    raise DataError(
        f"data.classes={table} is neither a built-in class table nor a YAML file"
        f"{did_you_mean(str(table), built_in)}"
    )


def _only(entry: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise DataError(f"{where} has an unknown key `{key}`{did_you_mean(key, known)}")


def _colors(given: list[Any], path: Path) -> NDArray[np.uint8]:
    colors = distinct_colors(len(given))
    for number, color in enumerate(given):
        if color is None:
            continue
        if not _is_color(color):
            raise DataError(
                f"class {number} of {path} has the color {color}; need [r, g, b] 0..255"
            )
        colors[number] = color
    colors.setflags(write=False)  # a table that is read again is the same one
    return colors


def _is_color(given: Any) -> bool:
    return (
        isinstance(given, list)
        and len(given) == 3
        and all(isinstance(c, int) and 0 <= c <= 255 for c in given)
    )


def _groups(given: list[Any], path: Path) -> tuple[str, ...]:
    if not any(given):
        return ()
    for number, group in enumerate(given):
        if not isinstance(group, str):
            raise DataError(f"class {number} of {path} has no group, as other classes have")
    return tuple(given)


def _check_ids(table: ClassTable, path: Path) -> None:
    all_ids = [*table.ids, *table.ignored, *(() if table.ignore is None else (table.ignore,))]
    odd = [i for i in all_ids if type(i) is not int or not 0 <= i < 2**24]  # nor a bool
    if odd:
        raise DataError(f"class table {path}: id {odd[0]!r} is not a whole number of at least 0")
    seen: set[int] = set()
    for raw_id in all_ids:
        if raw_id in seen:
            raise DataError(
                f"class table {path} lists the id {raw_id} twice (ids, ignore, ignored)"
            )
        seen.add(raw_id)
