"""Constructors that take what the class above them takes, and more, without saying it again."""

import inspect
from collections.abc import Callable, Collection
from typing import Any


def with_arguments_of(above: type, *, without: Collection[str] = ()) -> Callable[[Any], Any]:
    """Marks a constructor whose `**common` are the arguments of `above`.

    Its signature and annotations then name them, with their types and defaults, for all who ask:
    `core.build`, which checks a config by them, and editors. Arguments that the constructor names
    itself are its own.

    Annotations of `above` are taken as its module resolves them, so they may not be forward
    references, which the subclass's module may not know.

    Args:
        without: arguments of `above` that the constructor gives it by itself.
    """

    def marked(init: Any) -> Any:
        own, theirs = inspect.signature(init), inspect.signature(above)
        named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        left_out = {*own.parameters, *without}
        more = [p for name, p in theirs.parameters.items() if name not in left_out]
        init.__signature__ = own.replace(parameters=[*named, *more])
        typed = (p for p in (*named, *more) if p.annotation is not p.empty)
        init.__annotations__ = {p.name: p.annotation for p in typed}
        return init

    return marked
