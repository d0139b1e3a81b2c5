"""What was typed, so that Hydra reads it as it was meant: text stays text. Imports nothing heavy.

Hydra's grammar knows `{`, `(`, `=`, `~` and letters beyond ASCII only within quotes, which the
shell takes away; and it reads 3.10 as a number, and `a,b` as two values of a sweep. Where an
argument is text, what cannot be read otherwise, or would lose what was typed, is quoted here.
"""

import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from segsuite.core.config import CONF, looked_at
from segsuite.core.errors import ConfigError, SegsuiteError

TEXT = {
    **dict.fromkeys(("ckpt_path", "init_from", "input", "output_folder", "name"), str),
    **dict.fromkeys(("segment.images.input", "segment.images.output", "segment.video.input"), str),
    **dict.fromkeys(("segment.video.output", "exporter.output_folder", "exporter.name"), str),
    **dict.fromkeys(("paths.logs", "paths.data", "optimized_metric"), str),
    **dict.fromkeys(("baseline", "title"), str),
    **dict.fromkeys(("experiments", "checkpoints", "overrides", "folders"), Sequence[str]),
}
"""Keys that no constructor takes."""
_OUTPUT = {"predict": str, "report": str}
"""`output` is a folder here, and a choice elsewhere."""

_WHERE = ("name", "paths.logs", "paths.data", "data.root", "optimized_metric", "output_folder")
"""Keys of text on which neither the choice of a part depends nor any `_target_`."""

FLAGS = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p")
FLAGS += ("--cfg", "-c", "--info", "-i", "--experimental-rerun")
"""Of Hydra's, those that a value may follow."""
_ALONE = ("--run", "--multirun", "--resolve", "--shell-completion", "--hydra-help", "--version")


def typed_overrides(arguments: Sequence[str]) -> list[str]:
    """The overrides on a command line, with the folder of --config-dir as one of them."""
    overrides = [a for a in arguments if "=" in a and not a.startswith("-")]
    for flag, value in pairwise(arguments):
        if flag in ("--config-dir", "-cd"):
            overrides.append(f"hydra.searchpath=[file://{Path(value).absolute()}]")
    return overrides


def check_spelling(arguments: Sequence[str]) -> None:
    """Raises ConfigError for what is neither KEY=VALUE nor one of Hydra's flags, and for two flags
    that exclude each other."""
    if {"-m", "--multirun"} & {*arguments} and (
        one := {"-c", "--cfg", "-i", "--info"} & {*arguments}
    ):
        raise ConfigError(f"{min(one)} shows one config, and -m starts several runs; leave one out")
    neighbours = zip(["", *arguments], arguments, [*arguments[1:], ""], strict=False)
    for before, argument, after in neighbours:
        word, equals, value = argument.partition("=")
        if argument.startswith("--") and word not in (*FLAGS, *_ALONE):
            meant = value if equals else "VALUE" if after.startswith("-") else after or "VALUE"
            raise ConfigError(
                f"`{argument}` is no flag; settings are typed without dashes: {word[2:]}={meant}"
            )
        is_flag = argument.startswith(("-", "~"))
        if not word.strip("+~") or not (equals or is_flag or before in FLAGS):
            raise ConfigError(f"`{argument}` is no setting: they are typed KEY=VALUE")


def as_text(arguments: Sequence[str], name: str, *, composes: bool = True) -> list[str]:
    """The arguments with quotes around text that Hydra would read otherwise, or not at all.

    Args:
        name: the config that the overrides are of.
        composes: whether the constructors in that config may be asked what they take; without it
            only keys of the entry points themselves are known.

    Raises:
        ConfigError: something that was typed is not UTF-8.
    """
    many = bool({"-m", "--multirun"} & set(arguments))
    known = _Arguments(name, arguments) if composes else None
    return [
        argument if before in FLAGS else _as_meant(argument, name, known, many)
        for before, argument in pairwise(["", *arguments])
    ]


def quoted(value: str) -> str:
    """`value` as Hydra reads it back as that text."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text=value, quote=Quote.double).with_quotes()  # single ones are the shell's


def mended(override: str) -> str | None:
    """An override that cannot be read, with quotes around what holds it up; None if that is not it.

    Lists and groups of keys have their items quoted, other values are quoted whole.
    """
    key, _, value = override.partition("=")
    if value[:1] in ("[", "{"):
        if not _is_closed(value):
            return None
        repaired = f"{key}={_items_quoted(value)}"
    else:
        repaired = f"{key}={quoted(value)}"
    return repaired if read_override(repaired) is not None else None


def _as_meant(argument: str, name: str, known: "_Arguments | None", many: bool) -> str:
    key, equals, value = argument.partition("=")
    if not equals or argument.startswith(("-", "~", "hydra.")) or {"/", "@"} & set(key):
        return argument
    _check_encoding(argument)
    read = read_override(argument)
    if read is not None and _is_kept(read, many):
        return argument
    bare = key.lstrip("+")
    hint = {**TEXT, "output": _OUTPUT.get(name)}.get(bare) or (known and known.hint(bare))
    meant = f"{key}={_meant(value, list(_options(hint)), read, many)}"
    return meant if read_override(meant) is not None else argument


def _meant(value: str, options: Sequence[Any], read: Any, many: bool) -> str:
    """The value with the quotes that an argument of these types needs around it."""
    lists = any(_is_collection(option) for option in options)
    if read is None and lists and value.startswith("[") and _is_closed(value):
        return _items_quoted(value)
    if not any(_is_text(option) for option in options):
        return value
    numbers = {int, float, bool} & set(options)
    if read is not None and (numbers or (lists and read.is_sweep_override())):
        return value
    if many:
        return ",".join(part if _is_plain(part) else quoted(part) for part in _split(value))
    return quoted(value)


def _check_encoding(argument: str) -> None:
    try:
        argument.encode()
    except UnicodeEncodeError:
        shown = argument.encode(errors="surrogateescape").decode(errors="replace")
        raise ConfigError(
            f"`{shown}` holds bytes that are not UTF-8, which no config can keep; rename that file "
            "or folder, or give it by a link with another name"
        ) from None


class _Arguments:
    """What the constructors of a config take, asked for only where it is needed.

    Args:
        name: name of the config.
        arguments: the command line that it is composed by.
    """

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self._name, self._arguments = name, arguments

    def hint(self, key: str) -> Any:
        """The annotation of the argument at that key; None where that is not known."""
        with suppress(Exception):  # whatever is wrong with the config is told when it is built
            return self._hint(key)
        return None

    @cached_property
    def _config(self) -> Any:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        overrides = typed_overrides(self._arguments)
        # Without those that are asked about: their arguments keep the defaults that they have.
        asked = [o for o in overrides if o.partition("=")[0].lstrip("+") not in _WHERE]
        right = [o for o in asked if (read := read_override(o)) and _is_kept(read, False)]
        # Of a group that is to be a number, or a list of them, Hydra makes errors of its own kinds.
        wrong = (HydraException, OmegaConfBaseException, SegsuiteError, OSError)
        for attempt in (right, [o for o in right if _chooses(o)], ()):
            with suppress(*wrong, ValueError, TypeError):
                return looked_at(self._name, tuple(attempt))
        return {}

    def _hint(self, key: str) -> Any:
        from omegaconf import DictConfig, OmegaConf

        from segsuite.core.build import hints_of
        from segsuite.core.targets import locate, trusted

        parent, _, leaf = key.rpartition(".")
        owner = OmegaConf.select(self._config, parent) if parent else None
        if not isinstance(owner, DictConfig):
            return None
        there = owner._get_node(leaf)
        if there is not None and isinstance(there._value(), int | float):
            return None  # not text, so that nothing need be imported to know it
        if "_target_" in owner:
            return hints_of(locate(owner["_target_"], allow=trusted(self._config))).get(leaf)
        groups = (get_args(option) for option in _options(self.hint(parent)))
        return next((inner[1] for inner in groups if len(inner) == 2), None)


def _chooses(override: str) -> bool:
    """Whether it chooses a part, or says what may be chosen from."""
    key = override.partition("=")[0].lstrip("+")
    return (CONF / key).is_dir() or key in ("hydra.searchpath", "allow")


def read_override(override: str) -> Any:
    """What Hydra makes of an override, or None where it cannot be read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    with suppress(HydraException):
        return OverridesParser.create().parse_override(override)
    return None


def _is_kept(read: Any, many: bool) -> bool:
    """Whether a value stays what was typed: text, nothing, a list, a group, a sweep."""
    value = read._value
    if read.is_sweep_override():
        return many and not any(isinstance(v, int | float) for v in getattr(value, "list", ()))
    return not isinstance(value, int | float)


def _is_plain(part: str) -> bool:
    """Whether one value of a sweep is read as the text that it is, or as none."""
    read = read_override(f"key={part}")
    return read is not None and not isinstance(read._value, int | float)


def _options(hint: Any) -> Iterator[Any]:
    """The types of which an argument takes any."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for option in inner:
            yield from _options(option)
    elif origin is Annotated:
        yield from _options(inner[0])
    elif hint is not None:
        yield hint


def _is_text(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, str | PathLike)


def _is_collection(option: Any) -> bool:
    kind = get_origin(option)
    return isinstance(kind, type) and issubclass(kind, Collection) and not issubclass(kind, Mapping)


def _items_quoted(value: str) -> str:
    """A list or group of keys with those items in quotes that cannot be read without."""
    shown = []
    for item in map(str.strip, _split(value[1:-1])):
        key, _, inner = item.partition(":")
        if value[0] == "[":
            alone, repaired = item, quoted(item)
        else:
            alone, repaired = f"{{{item}}}", f"{key}: {quoted(inner.strip())}"
        shown.append(item if read_override(f"key={alone}") is not None else repaired)
    return f"{value[0]}{','.join(shown)}{value[-1]}"


def _split(text: str) -> list[str]:
    """What stands between commas that are in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth += (sign in "[{(") - (sign in "]})")
        if sign == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _is_closed(value: str) -> bool:
    """Whether each bracket that it opens is closed by its end."""
    pairs = {"[": "]", "{": "}"}
    waiting: list[str] = []
    for sign in value:
        if sign in pairs:
            waiting.append(pairs[sign])
        elif sign in "]}" and (not waiting or waiting.pop() != sign):
            return False
    return not waiting and value[-1] == pairs[value[0]]
