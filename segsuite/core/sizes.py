"""Sizes of images and grids, and which of them a network takes."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from segsuite.core.errors import ConfigError

Size = tuple[int, int]
"""(height, width)."""

_NOTHING: Mapping[str, int] = MappingProxyType({})


def check_size(
    size: Size,
    divisor: int,
    key: str = "data.crop_size",
    *,
    beside: Mapping[str, int] = _NOTHING,
) -> None:
    """Raises ConfigError, naming a smaller and a larger size, unless both sides are multiples.

    Args:
        beside: what may need larger multiples, and which: said, so that nobody changes sizes twice.
    """
    if any(side % divisor for side in size):
        more = "".join(
            f"; for {what}, multiples of {larger}: {nearest(size, larger, key)}"
            for what, larger in beside.items()
        )
        raise ConfigError(
            f"images of {size[0]}x{size[1]} were given, but this network needs sides that are "
            f"multiples of {divisor}; set {nearest(size, divisor, key)}{more}"
        )


def nearest(size: Size, divisor: int, key: str = "data.crop_size") -> str:
    """What to type for a smaller and a larger size whose sides are multiples."""
    down, up = (
        [max(to(side / divisor), 1) * divisor for side in size] for to in (math.floor, math.ceil)
    )
    return " or ".join(dict.fromkeys((f"{key}={down}", f"{key}={up}")))
