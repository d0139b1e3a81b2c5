"""Settings of a part that count only beside others of it: what is typed in vain is to be said."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from segsuite.core.hints import default_of, shown

Part = TypeVar("Part", bound=Callable[..., Any])

_MARK = "counts_beside"
_ANY = "*"


def counts(**beside: Mapping[str, tuple[Any, ...]]) -> Callable[[Part], Part]:
    """Marks a constructor: these of its settings count only beside others.

    Args:
        beside: for each setting, what the others must be: one of the values of a tuple, or
            anything but null, false and 0 where the tuple is empty. Settings of a part within it
            have a dot in their name; others are of the same constructor, or whole keys of the
            config, such as method.head.dim.
    """
    return lambda part: _marked(part, beside)


def counts_nothing(part: Part) -> Part:
    """Marks a constructor that takes any setting and makes nothing of it."""
    return _marked(part, {_ANY: {}})


def why_idle(
    part: Callable[..., Any],
    key: str,
    settings: Mapping[str, Any],
    where: str,
    elsewhere: Callable[[str], Any] = lambda key: None,
) -> str | None:
    """Why a setting of a part changes nothing; None if it counts.

    Args:
        settings: the settings that the part gets beside its defaults, by name.
        where: the part's place in the config, such as method.pruning.
        elsewhere: the value of a whole key of the config; None where it has none.
    """
    marks = getattr(part, _MARK, {})
    if _ANY in marks:
        return f"{where.replace('.', '/')}=none makes nothing of it"
    for other, values in marks.get(key, {}).items():
        if "." in other:
            whole, value = other, elsewhere(other)
        else:
            whole = f"{where}.{other}"
            value = settings[other] if other in settings else default_of(part, other)
        if not (value in values if values else value not in (None, False)):
            wanted = " or ".join(f"{whole}={shown(v)}" for v in values) or whole
            return f"it counts only with {wanted}, which is {shown(value)} here"
    return None


def _marked(part: Part, marks: Mapping[str, Mapping[str, tuple[Any, ...]]]) -> Part:
    # Beside what the class that it takes after has marked.
    setattr(part, _MARK, {**getattr(part, _MARK, {}), **marks})
    return part
