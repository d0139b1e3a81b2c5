"""Random numbers that are the same on every machine and in every version of NumPy."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Dice:
    """Draws from the raw bits of PCG64, which NumPy guarantees; its distributions it does not."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def share(self) -> float:
        """A number in [0, 1)."""
        return (self._bits.random_raw() >> 11) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.share()

    def chance(self, probability: float) -> bool:
        """True that often."""
        return self.share() < probability

    def below(self, count: int) -> int:
        """A whole number in 0..count - 1."""
        return (self._bits.random_raw() >> 32) * count >> 32

    def of(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def rank(self, count: int) -> int:
        """A whole number in 0..count - 1, number k about in proportion to 1 / (k + 1)."""
        octaves = count.bit_length()
        while True:
            first = 1 << self.below(octaves)
            number = first + self.below(first) - 1
            if number < count:
                return number

    def color(self, base: Sequence[int], spread: int) -> tuple[int, int, int]:
        """A colour near `base`: lighter or darker together, and a little in each channel."""
        shift = self.below(2 * spread + 1) - spread
        red, green, blue = (
            min(max(b + shift + self.below(spread + 1) - spread // 2, 0), 255) for b in base
        )
        return red, green, blue

    def bytes(self, *shape: int) -> NDArray[np.uint8]:
        """Whole numbers in 0..255 of that shape."""
        count = math.prod(shape)
        words = self._bits.random_raw(-(-count // 8))
        return np.asarray(words).astype("<u8").view(np.uint8)[:count].reshape(shape)
