"""How many channels a width is, at each scale: one rule for supernet, search and final network."""

from dataclasses import dataclass
from typing import Literal

FULL = 12
"""Widths are counted in twelfths of the full one."""

Rounding = Literal["round", "div8"]


@dataclass(frozen=True)
class Channels:
    """From a scale and a width in twelfths to a number of channels.

    Attributes:
        filters: the filter multiplier: a layer of full width has `filters` times its scale.
        ends: width of the stem, of last layers and of heads.
        rounding: `round` to the nearest number, as the released networks; `div8` to the nearest
            multiple of 8 that is not 10 % less, which kernels prefer.
    """

    filters: int
    ends: int
    rounding: Rounding

    def of(self, scale: int, width: int) -> int:
        """Channels of a layer's result.

        Args:
            scale: what the image's sides are divided by.
            width: twelfths of the full width.
        """
        exact = scale * self.filters * width / FULL
        if self.rounding == "round":
            return max(round(exact), 1)
        near = max(8, int(exact + 4) // 8 * 8)
        return near if near >= 0.9 * exact else near + 8

    def end(self, scale: int) -> int:
        """Channels of the stem or of a branch's end at that scale."""
        return self.of(scale, self.ends)
