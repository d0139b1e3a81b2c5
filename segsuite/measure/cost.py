"""What a piece of a network costs, under the two conventions that papers use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

GIGA = 1e9


@dataclass(frozen=True)
class Cost:
    """Operations of one or more forward passes.

    Attributes:
        macs: multiply-adds of everything that is a matrix product: linear, convolution, attention.
        norm: what fvcore adds for normalisation layers, 5 an element (batch norm at rest: 2).
        resize: what fvcore adds for interpolation, 4 an output element (nearest: 1).
    """

    macs: int = 0
    norm: int = 0
    resize: int = 0

    @property
    def fvcore(self) -> int:
        """This field's "FLOPs": fvcore counts a multiply-add once, and adds the rest."""
        return self.macs + self.norm + self.resize

    @property
    def gmacs(self) -> float:
        """Multiply-adds in 1e9."""
        return self.macs / GIGA

    @property
    def gfvcore(self) -> float:
        """fvcore's count in 1e9: what papers print as GFLOPs."""
        return self.fvcore / GIGA

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.norm + other.norm, self.resize + other.resize)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.macs - other.macs, self.norm - other.norm, self.resize - other.resize)

    def __mul__(self, times: int) -> Cost:
        return Cost(self.macs * times, self.norm * times, self.resize * times)

    __rmul__ = __mul__

    def __floordiv__(self, images: int) -> Cost:
        """The share of one image of a batch."""
        return Cost(self.macs // images, self.norm // images, self.resize // images)

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, with both totals."""
        return asdict(self) | {"gmacs": self.gmacs, "gflops_fvcore": self.gfvcore}


def total(costs: Iterable[Cost]) -> Cost:
    """The sum; nothing costs nothing."""
    return sum(costs, Cost())
