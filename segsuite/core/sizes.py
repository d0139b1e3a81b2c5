"""Sizes of images and grids, and which of them a network takes."""

import math

from segsuite.core.errors import ConfigError

Size = tuple[int, int]
"""(height, width)."""


def check_size(size: Size, divisor: int, key: str = "data.crop_size", *, step: int = 0) -> None:
    """Raises ConfigError, naming a smaller and a larger size, unless both sides are multiples.

    Args:
        step: number of pixels that the sizes named in the message are multiples of, for sides that
            do not fit, where other parts may need more than `divisor`.
    """
    if any(side % divisor for side in size):
        raise ConfigError(
            f"images of {size[0]}x{size[1]} were given, but this network needs sides that are "
            f"multiples of {divisor}; set {nearest(size, divisor, key, step=step)}"
        )


def nearest(size: Size, divisor: int, key: str = "data.crop_size", *, step: int = 0) -> str:
    """What to type for a smaller and a larger size whose sides are multiples; see `check_size`."""
    step = step or divisor
    down, up = (
        [side if side % divisor == 0 else max(to(side / step), 1) * step for side in size]
        for to in (math.floor, math.ceil)
    )
    return " or ".join(dict.fromkeys((f"{key}={down}", f"{key}={up}")))
