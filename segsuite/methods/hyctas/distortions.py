"""What becomes of an architecture when its attention is taken away or moved (HyCTAS, table 8)."""

from typing import Literal

import numpy as np

from segsuite.core.errors import ConfigError
from segsuite.methods.hyctas.genotype import Genotype

Distortion = Literal["none", "no_attention", "all_attention", "moved_along", "moved_across"]


def distorted(*, genotype: Genotype, how: Distortion = "none", seed: int = 0) -> Genotype:
    """The architecture with another place for attention; everything else stays.

    Args:
        how: `no_attention`, 3 x 3 convolutions in its place; `all_attention`, attention in place of
            3 x 3 convolutions; `moved_along`, to other layers of its branch; `moved_across`, to
            layers of another branch. Moved attention changes places with what was there, where
            branches then share the layers that they shared before.
        seed: draws where attention is moved to.

    Raises:
        ConfigError: there is nothing to change: no attention, no convolution, one branch alone.
    """
    if how == "none":
        return genotype
    rows = [list(branch.operations) for branch in genotype.branches]
    if how in _REPLACED:
        old, new = _REPLACED[how]
        rows = [[new if name == old else name for name in row] for row in rows]
    else:
        _move(
            rows,
            genotype,
            across=how == "moved_across",
            generator=np.random.default_rng(seed % 2**63),
        )
    if rows == [list(branch.operations) for branch in genotype.branches]:
        raise ConfigError(
            f"method.distortion={how} changes nothing in this architecture ({genotype}); "
            + _WHY[how]
        )
    return _with(genotype, rows)


def _move(
    rows: list[list[str]], genotype: Genotype, *, across: bool, generator: np.random.Generator
) -> None:
    places = [(number, layer) for number, row in enumerate(rows) for layer in range(len(row))]
    for number, layer in [(n, i) for n, i in places if rows[n][i] == "attention"]:
        for place in generator.permutation(len(places)):
            other, there = places[place]
            name = rows[other][there]
            if (other != number) != across or name == "attention":
                continue
            if name == "skip" and layer in genotype.branches[number].downs:
                continue  # a skip cannot go where the resolution halves
            rows[number][layer], rows[other][there] = name, "attention"
            if _with(genotype, rows).shared == genotype.shared:
                break
            rows[number][layer], rows[other][there] = "attention", name


def _with(genotype: Genotype, rows: list[list[str]]) -> Genotype:
    plain = genotype.to_dict()
    for branch, row in zip(plain["branches"], rows, strict=True):
        branch["operations"] = list(row)
    return Genotype(**plain)


_REPLACED = {"no_attention": ("attention", "conv"), "all_attention": ("conv", "attention")}
_WHY = {
    "no_attention": "it has no attention",
    "all_attention": "it has no 3 x 3 convolution",
    "moved_along": "it has no attention that could be moved",
    "moved_across": "it takes attention in one of two branches or more",
}
