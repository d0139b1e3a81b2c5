"""Does a value in a config fit an argument's annotation, and what would?"""

# Not pydantic, which is installed with W&B: it speaks of Python's types and of a model's fields,
# where these messages name the key as it is typed and what to type; and it takes "3" for 3, or
# copies what it is given, unless each hint says otherwise.
import inspect
import re
import sys
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from os import PathLike
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from segsuite.core.errors import did_you_mean


class Limit(ABC):
    """What an annotation says beyond a value's type; as text, how users read it."""

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether a value of the right type is within the limit."""

    @abstractmethod
    def __str__(self) -> str:
        """In words, behind the type: "a number, " + this."""


@dataclass(frozen=True)
class Between(Limit):
    """What a number may be, both ends included: `batch_size: Annotated[int, Between(1)]`.

    Infinity is a number only where it is named as an end.
    """

    low: float
    high: float = sys.float_info.max

    def holds(self, value: Any) -> bool:
        return not isinstance(value, int | float) or self.low <= value <= self.high

    def __str__(self) -> str:
        endless = self.high >= sys.float_info.max
        return f"{self.low} or more" if endless else f"{self.low} to {self.high}"


@dataclass(frozen=True)
class Above(Between):
    """What a number must be more than: `scale: Annotated[float, Above(0)]`; its end is included."""

    def holds(self, value: Any) -> bool:
        return super().holds(value) and value != self.low

    def __str__(self) -> str:
        endless = self.high >= sys.float_info.max
        return f"above {self.low}" + ("" if endless else f" and at most {self.high}")


@dataclass(frozen=True)
class Rising(Limit):
    """Of a pair of bounds: the least stands first, and may equal the most."""

    def holds(self, value: Any) -> bool:
        return not isinstance(value, Sequence) or list(value) == sorted(value)

    def __str__(self) -> str:
        return "the least first"


@dataclass(frozen=True)
class Falling(Rising):
    """Of a pair of bounds: the largest stands first, and may equal the other."""

    def holds(self, value: Any) -> bool:
        return not isinstance(value, Sequence) or super().holds(value[::-1])

    def __str__(self) -> str:
        return "the largest first"


Share = Annotated[float, Between(0, 1)]
Positive = Annotated[float, Above(0)]
NotNegative = Annotated[float, Between(0)]
Count = Annotated[int, Between(1)]
"""How many there are of something that cannot be missing."""
Pixels = Count
Sides = tuple[Pixels, Pixels]
"""(height, width)."""

_64_BITS = range(-(2**63), 2**63)
"""Whole numbers that torch and NumPy can hold; Python's and YAML's have no end."""

_SCALARS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def fits(value: Any, hint: Any) -> bool:
    """False where `value` cannot become what `hint` asks for; True wherever that is not certain.

    Args:
        value: a plain value; mappings with `_target_` stand for objects, which are not looked into.
        hint: an annotation, as `get_type_hints` resolves it.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in inner)
    if origin is Annotated:
        limits = [limit for limit in inner[1:] if isinstance(limit, Limit)]
        return fits(value, inner[0]) and all(limit.holds(value) for limit in limits)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in inner)
    kind = origin or hint
    # What is no type is a type variable, or a forward reference.
    if kind in (Any, object) or not isinstance(kind, type):
        return True
    if value is None:
        return kind is type(None)
    if isinstance(value, Mapping):
        return "_target_" in value or _group_fits(value, kind, inner)
    if isinstance(value, list):
        return _list_fits(value, kind, inner)
    return _scalar_fits(value, kind)


def expected(hint: Any) -> str:
    """What fits, in words: "a whole number or null"."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        # Two of a library's lists may share a word: 16 as a number, and "16" as text.
        words = (
            map(str, get_args(o)) if get_origin(o) is Literal else [expected(o)] for o in inner
        )
        return " or ".join(dict.fromkeys(chain.from_iterable(words)))
    if origin is Annotated:
        limits = [f", {limit}" for limit in inner[1:] if isinstance(limit, Limit)]
        return expected(inner[0]) + "".join(limits)
    if origin is Literal:
        return " or ".join(map(str, inner))
    kind = origin or hint
    if kind is type(None):
        return "null"
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind is tuple and inner and Ellipsis not in inner:
        return f"a list of {len(inner)} ({'; '.join(map(expected, inner))})"
    if _is_kind(kind, Mapping):
        return f"a group of keys{_each(inner[1:])}"
    if _takes_lists(kind):
        return f"a list{_each(inner[:1])}"
    name = getattr(kind, "__name__", str(kind))
    return f"a group of keys whose _target_ makes a {name}"


def _each(items: tuple[Any, ...]) -> str:
    """What each item must be, where that is anything particular."""
    return f" (each {expected(items[0])})" if items and items[0] is not Any else ""


def misfit(key: str, value: Any, hint: Any, *, taker: str = "it takes") -> str:
    """What is wrong with a value that does not fit, and what to type."""
    if get_origin(hint) is Literal:
        known = [str(option) for option in get_args(hint)]
        near = did_you_mean(str(value), known)
        near = near if "did you mean" in near else ""
        return f"`{key}={shown(value)}` is not one of {', '.join(known)}{near}"
    fitting = f"{expected(hint)}{in_brackets(key, value, hint)}"
    return f"`{key}={shown(value)}` does not fit: {taker} {fitting}"


def shown(value: Any) -> str:
    """A value of a config as it is typed."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def default_of(made: Callable[..., Any], name: str) -> Any:
    """The default of a constructor's argument; None where it has none, or no such argument."""
    argument = inspect.signature(made).parameters.get(name)
    return None if argument is None or argument.default is argument.empty else argument.default


def in_brackets(key: str, value: Any, hint: Any) -> str:
    """ "; type size=[96,96]" where items were typed without brackets, as 96x96, or reversed."""
    if isinstance(value, list) and value != value[::-1] and fits(value[::-1], hint):
        return f"; type {key}=[{','.join(map(str, value[::-1]))}]"
    sides = re.fullmatch(r"(\d+)\s*[x×*]\s*(\d+)", value) if isinstance(value, str) else None
    if sides and fits(list(map(int, sides.groups())), hint):
        return f"; type {key}=[{','.join(sides.groups())}]"
    for count in (1, 2):
        if not isinstance(value, list | Mapping) and fits([value] * count, hint):
            return f"; type {key}=[{','.join([str(value)] * count)}]"
    return ""


def _list_fits(value: list, kind: type, inner: tuple) -> bool:
    if not _takes_lists(kind):
        return False
    if kind is tuple and inner and Ellipsis not in inner:
        pairs = zip(value, inner, strict=False)
        return len(value) == len(inner) and all(fits(item, hint) for item, hint in pairs)
    return not inner or all(fits(item, inner[0]) for item in value)


def _group_fits(value: Mapping, kind: type, inner: tuple) -> bool:
    if not _is_kind(kind, Mapping) and kind is not dict:
        return False
    return len(inner) < 2 or all(fits(item, inner[1]) for item in value.values())


def _scalar_fits(value: Any, kind: type) -> bool:
    if kind is bool:  # flags may be written as 0 and 1
        return isinstance(value, int) and value in (0, 1)
    if kind in (int, float) and isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float) and value == value  # nan is no number
    if kind is int:
        return isinstance(value, int) and value in _64_BITS
    if kind is str or _is_kind(kind, PathLike):
        return isinstance(value, str | PathLike)
    if _is_kind(kind, Enum):
        return True
    if _is_kind(kind, Collection) or kind in (Callable, type(None)):
        return False
    return isinstance(value, kind) if kind.__module__ == "builtins" else False


def _takes_lists(kind: Any) -> bool:
    """A tensor has items too, but no list is one."""
    if kind in (list, tuple, set, frozenset):
        return True
    return getattr(kind, "__module__", "") == "collections.abc" and issubclass(list, kind)


def _is_kind(kind: Any, of: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, of)
