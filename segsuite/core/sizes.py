"""Sizes of pictures and grids, and which of them a network takes."""

from segsuite.core.errors import ConfigError

Size = tuple[int, int]
"""(height, width)."""


def check_size(size: Size, divisor: int, key: str = "data.crop_size") -> None:
    """Raises ConfigError, naming the two nearest sizes, unless both sides are multiples."""
    if any(side % divisor for side in size):
        down = [max(side // divisor, 1) * divisor for side in size]
        up = [-(-side // divisor) * divisor for side in size]
        raise ConfigError(
            f"images of {size[0]}x{size[1]} were given, but this network needs sides that are "
            f"multiples of {divisor}; set {key}={down} or {key}={up}"
        )
