"""Architectures of the released code (HRTNET_S.json and its kin) as genotypes, and back."""

from collections.abc import Mapping
from typing import Any

from segsuite.core.errors import ConfigError
from segsuite.methods.hyctas.channels import FULL
from segsuite.methods.hyctas.genotype import OPERATIONS, Genotype

_KEYS = ("ops", "paths", "downs", "widths", "lasts")


def from_released(plain: Mapping[str, Any], *, filters: int, ends: int) -> Genotype:
    """A genotype of what such a file holds.

    Args:
        plain: `ops` (numbers in the order of `OPERATIONS`), `paths`, `downs`, `widths` (shares of
            the full width) and `lasts`, each a list over branches.
        filters, ends: see `Genotype`; the files do not say.

    Raises:
        ConfigError: a key is missing, the lists do not fit each other, or they are no network.
    """
    if lacking := [key for key in _KEYS if key not in plain]:
        raise ConfigError(
            f"this is no released architecture: it lacks {', '.join(lacking)}; such a file has "
            f"{', '.join(_KEYS)}"
        )
    branches = [
        {
            "operations": [_operation(number) for number in plain["ops"][branch]],
            "widths": [_width(share) for share in plain["widths"][branch]],
            "downs": [layer for layer, down in enumerate(plain["downs"][branch]) if down],
        }
        for branch in range(len(plain["ops"]))
    ]
    genotype = Genotype(branches=branches, filters=filters, ends=ends)
    again = to_released(genotype)
    for key in ("paths", "lasts"):
        if list(plain[key]) != again[key]:
            raise ConfigError(
                f"`{key}` does not fit `downs`: {list(plain[key])} where {again[key]} was expected"
            )
    return genotype


def to_released(genotype: Genotype) -> dict[str, Any]:
    """What the released code would read; without filters and ends, which it takes elsewhere."""
    branches = genotype.branches
    return {
        "ops": [[OPERATIONS.index(name) for name in branch.operations] for branch in branches],
        "paths": [
            [sum(down < layer for down in branch.downs) for layer in range(branch.depth)]
            for branch in branches
        ],
        "downs": [[int(layer in b.downs) for layer in range(b.depth)] for b in branches],
        "widths": [[width / FULL for width in branch.widths] for branch in branches],
        "lasts": [branch.last for branch in branches],
    }


def _operation(number: int) -> str:
    if type(number) is not int or not 0 <= number < len(OPERATIONS):
        known = ", ".join(f"{place} {name}" for place, name in enumerate(OPERATIONS))
        raise ConfigError(f"`ops` holds {number}, which is none of {known}")
    return OPERATIONS[number]


def _width(share: float) -> int:
    twelfths = round(share * FULL)
    if abs(share * FULL - twelfths) > 1e-6:
        raise ConfigError(f"`widths` holds {share}, which is no twelfth of the full width")
    return twelfths
