"""Genotypes: the paper's rules, shared cells, and what is said of those that are none."""

import copy
import re

import pytest

from segsuite.core.errors import ConfigError
from segsuite.methods.hyctas.channels import Channels
from segsuite.methods.hyctas.genotype import Genotype
from tests.hyctas.made import TWO_BRANCHES, genotype


def changed(branch: int, **values) -> dict:
    plain = copy.deepcopy(TWO_BRANCHES)
    plain["branches"][branch] |= values
    return plain


def test_plain_types_make_it_again():
    for made in (Genotype(**TWO_BRANCHES), *map(genotype, "sml")):
        again = Genotype(**made.to_dict())
        assert again == made and hash(again) == hash(made)
    assert Genotype(**changed(0, widths=[12, 8, 8, 6])) != Genotype(**TWO_BRANCHES)
    assert str(Genotype(**TWO_BRANCHES)).startswith("light conv attention | skip light2 / ")


def test_first_layers_that_are_alike_are_shared():
    """L: the first four of all branches, four more of the first two; nothing behind."""
    large = genotype("l").shared
    assert [set(column) for column in zip(*large, strict=True)] == [
        *[{0}] * 4,
        *[{0, 2}] * 4,
        *[{0, 1, 2}] * 12,
    ]
    assert Genotype(**TWO_BRANCHES).shared == ((0,) * 5, (0, 1, 1, 1, 1))


def test_a_last_layer_is_never_shared():
    alike = {"operations": ["conv", "conv"], "widths": [12], "downs": []}
    other = {"operations": ["conv", "conv", "conv"], "widths": [12, 12], "downs": [1]}
    assert Genotype(branches=[alike, other]).shared == ((0, 0), (0, 1, 1))


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (changed(0, operations=["light", "conv", "skip", "skip", "light2"]), "operations[2]=skip"),
        (
            changed(1, downs=[1, 2], operations=["light", *["conv"] * 4]),
            "both halve the resolution at layer 2",
        ),
        (changed(1, downs=[1]), "each ends at a scale of its own"),
        (changed(0, downs=[4]), "at most 2 of the layers 0 to 3 halve"),
        (changed(0, downs=[2, 1]), "are not layers in rising order"),
        (changed(0, widths=[12, 8, 8]), "has 5 operations and 3 widths"),
        (changed(0, widths=[12, 8, 8, 0.5]), "widths[3]=0.5 is no width"),
        (changed(0, operations=["lihgt", *["conv"] * 4]), "did you mean `light`"),
        (changed(0, dwons=[2]), "dwons is not known"),
        ({"branches": []}, "has 0 branches; a network has 1 to 3"),
        ({"branches": [{"widths": []}]}, "it lacks operations"),
        ({"branches": ["conv"]}, "is no branch (conv)"),
    ],
)
def test_what_is_no_network_is_said(plain, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        Genotype(**plain)


def test_channels():
    """As released: 43, 85 and 107 of 64 and 128; and multiples of 8 if asked for."""
    plain, even = Channels(8, 8, "round"), Channels(8, 8, "div8")
    assert [plain.of(16, width) for width in (4, 6, 8, 10, 12)] == [43, 64, 85, 107, 128]
    assert [even.of(16, width) for width in (4, 6, 8, 10, 12)] == [40, 64, 88, 104, 128]
    assert plain.end(8) == 43 and even.of(8, 1) == 8
