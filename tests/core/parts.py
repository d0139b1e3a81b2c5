"""Small classes for configs to name."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from segsuite.core.errors import DataError


class Trunk:
    def __init__(
        self,
        *,
        depth: int,
        width: float = 1.0,
        kind: Literal["plain", "deep"] = "plain",
        skipped: int = 0,
    ) -> None:
        self.depth, self.width, self.kind, self.skipped = depth, width, kind, skipped

    @classmethod
    def shallow(cls, *, width: float = 1.0) -> "Trunk":
        return cls(depth=1, width=width)


class House:
    """Keeps what it was given."""

    def __init__(
        self,
        *,
        trunk: Trunk,
        roof: Trunk | None = None,
        make: Callable[..., Trunk] | None = None,
        size: tuple[int, int] = (1, 1),
        names: Sequence[str] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.trunk, self.roof, self.make = trunk, roof, make
        self.size, self.names, self.extra = size, names, extra


def anything(**keys: object) -> dict[str, object]:
    return keys


def broken(*, how: str) -> None:
    if how == "data":
        raise DataError("no such image")
    raise ZeroDivisionError("a defect")
