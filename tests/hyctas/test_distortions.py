"""Table 7 and 8: architectures at random, and with attention elsewhere."""

from collections import Counter

import pytest

from segsuite.core.errors import ConfigError
from segsuite.methods.hyctas.distortions import distorted
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.space import random_genotype
from tests.hyctas.made import TWO_BRANCHES, genotype

TWO = Genotype(**TWO_BRANCHES)


def operations(made: Genotype) -> list[list[str]]:
    return [list(branch.operations) for branch in made.branches]


def counted(made: Genotype) -> Counter:
    return Counter(name for row in operations(made) for name in row)


def test_attention_and_convolutions_are_replaced():
    flat = counted(TWO)
    without, all_of_it = (
        counted(distorted(genotype=TWO, how=how)) for how in ("no_attention", "all_attention")
    )
    assert without["attention"] == 0 and without["conv"] == flat["conv"] + flat["attention"]
    assert all_of_it["conv"] == 0 and all_of_it["attention"] == without["conv"]
    assert distorted(genotype=TWO) is TWO


@pytest.mark.parametrize("seed", range(20))
def test_attention_is_moved_and_nothing_lost(seed):
    for made in (TWO, genotype("l")):
        along = distorted(genotype=made, how="moved_along", seed=seed)
        across = distorted(genotype=made, how="moved_across", seed=seed)
        for own, row in zip(operations(along), operations(made), strict=True):
            assert Counter(own) == Counter(row)
        assert counted(across) == counted(made)
        assert operations(along) != operations(made) != operations(across)
        for other in (along, across):
            assert other.shared == made.shared
            assert [b.downs for b in other.branches] == [b.downs for b in made.branches]
            assert [b.widths for b in other.branches] == [b.widths for b in made.branches]


@pytest.mark.parametrize(
    ("how", "said"),
    [("moved_across", "one of two branches or more"), ("moved_along", "no attention")],
)
def test_what_would_change_nothing_is_refused(how, said):
    one = genotype("s")
    if how == "moved_along":
        one = distorted(genotype=one, how="no_attention")
    with pytest.raises(ConfigError, match=said):
        distorted(genotype=one, how=how)


def test_architectures_at_random_have_as_many_branches_as_wanted():
    kind = {"layers": 8, "filters": 2}
    for count in (1, 2, 3):
        made = [random_genotype(branches=count, seed=seed, **kind) for seed in range(5)]
        assert {len(g.branches) for g in made} == {count} and len(set(made)) == 5
        assert made[0] == random_genotype(branches=count, seed=0, **kind)
