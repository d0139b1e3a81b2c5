"""What becomes of an architecture when its attention is taken away or moved (HyCTAS, table 8)."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from segsuite.core.errors import ConfigError
from segsuite.methods.hyctas.genotype import Genotype

Distortion = Literal["none", "no_attention", "all_attention", "moved_along", "moved_across"]


def distorted(*, genotype: Genotype, how: Distortion = "none", seed: int = 0) -> Genotype:
    """The architecture with another place for attention; everything else stays.

    Args:
        how: `no_attention`, 3 x 3 convolutions in its place; `all_attention`, attention in place of
            3 x 3 convolutions; `moved_along`, to other layers of its branch; `moved_across`, to
            layers of another branch. Moved attention changes places with what was there.
        seed: draws where attention is moved to.

    Raises:
        ConfigError: there is nothing to change: no attention, no convolution, one branch alone.
    """
    if how == "none":
        return genotype
    plain = genotype.to_dict()
    rows = [list(branch["operations"]) for branch in plain["branches"]]
    before = [list(row) for row in rows]
    _CHANGES[how](rows, genotype, np.random.default_rng(seed % 2**63))
    if rows == before:
        raise ConfigError(
            f"method.distortion={how} changes nothing in this architecture ({genotype}); "
            + _WHY[how]
        )
    for branch, row in zip(plain["branches"], rows, strict=True):
        branch["operations"] = row
    return Genotype(**plain)


def _replaced(old: str, new: str) -> Callable[..., None]:
    def change(rows: list[list[str]], genotype: Genotype, generator: Any) -> None:
        for row in rows:
            row[:] = [new if name == old else name for name in row]

    return change


def _moved_along(rows: list[list[str]], genotype: Genotype, generator: Any) -> None:
    for row, branch in zip(rows, genotype.branches, strict=True):
        places = [layer for layer, name in enumerate(row) if name == "attention"]
        for place in places:
            others = [
                layer
                for layer, name in enumerate(row)
                if name != "attention" and _may_swap(name, place, branch.downs)
            ]
            if others:
                _swap(row, place, row, int(generator.choice(others)))


def _moved_across(rows: list[list[str]], genotype: Genotype, generator: Any) -> None:
    places = [(number, layer) for number, row in enumerate(rows) for layer in range(len(row))]
    for number, layer in [(n, i) for n, i in places if rows[n][i] == "attention"]:
        others = [
            (other, there)
            for other, there in places
            if other != number
            and rows[other][there] != "attention"
            and _may_swap(rows[other][there], layer, genotype.branches[number].downs)
        ]
        if others:
            other, there = others[int(generator.integers(len(others)))]
            _swap(rows[number], layer, rows[other], there)


def _may_swap(name: str, place: int, downs: tuple[int, ...]) -> bool:
    """A skip cannot go where the resolution halves."""
    return name != "skip" or place not in downs


def _swap(row: list[str], place: int, other: list[str], there: int) -> None:
    row[place], other[there] = other[there], row[place]


_CHANGES = {
    "no_attention": _replaced("attention", "conv"),
    "all_attention": _replaced("conv", "attention"),
    "moved_along": _moved_along,
    "moved_across": _moved_across,
}
_WHY = {
    "no_attention": "it has no attention",
    "all_attention": "it has no 3 x 3 convolution",
    "moved_along": "it has no attention that could be moved",
    "moved_across": "it takes attention in one of two branches or more",
}
