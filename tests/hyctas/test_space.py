"""The search space: random genotypes keep the paper's rules and its shares."""

import re
from collections import Counter

import numpy as np
import pytest

from segsuite.core.errors import ConfigError
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.space import ENDINGS, SearchSpace
from tests.hyctas.made import TWO_BRANCHES, genotype

SAMPLES = 10_000


@pytest.fixture(scope="module")
def drawn() -> list[Genotype]:
    space, generator = SearchSpace(layers=12), np.random.default_rng(0)
    return [space.random(generator) for _ in range(SAMPLES)]


def near(count: int, share: float) -> bool:
    """Within four standard deviations."""
    return abs(count - SAMPLES * share) < 4 * (SAMPLES * share * (1 - share)) ** 0.5


def test_they_are_of_the_space(drawn):
    """What a genotype must be, its constructor has checked."""
    space = SearchSpace(layers=12)
    for made in drawn:
        space.check(made)
        assert not any(b.operations[down] == "skip" for b in made.branches for down in b.downs)
        downs = [down for branch in made.branches for down in branch.downs]
        assert len(downs) == len(set(downs)) and 11 not in downs
    assert len(set(drawn)) == SAMPLES


def test_branches_have_the_papers_shares(drawn):
    counts = Counter(len(made.branches) for made in drawn)
    assert all(near(counts[n], share) for n, share in ((1, 0.2), (2, 0.3), (3, 0.5)))
    ends = Counter(tuple(branch.last for branch in made.branches) for made in drawn)
    assert set(ends) == set(ENDINGS)
    shares = {1: 0.2 / 3, 2: 0.3 / 3, 3: 0.5}
    assert all(near(ends[lasts], shares[len(lasts)]) for lasts in ENDINGS)


def test_the_same_seed_gives_the_same():
    space = SearchSpace(layers=8)
    first, second = (space.random(np.random.default_rng(3)) for _ in range(2))
    assert first == second != space.random(np.random.default_rng(4))


def test_the_extremes():
    space = SearchSpace(layers=9, widths=(6, 12))
    large, small = space.extreme(largest=True), space.extreme(largest=False)
    for made in (large, small):
        space.check(made)
    assert [branch.last for branch in large.branches] == [0, 1, 2]
    assert {w for branch in large.branches for w in branch.widths} == {12}
    assert len(small.branches) == 1 and set(small.branches[0].widths) == {6}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"operations": ["skip"]}, "the search space is empty"),
        ({"widths": []}, "the search space is empty"),
        ({"operations": ["conv", "pool"]}, "pool is none of skip, conv"),
        ({"branch_shares": [0.5, 0.4, 0.3]}, "are not the shares"),
    ],
)
def test_a_space_that_is_none(settings, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        SearchSpace(**settings)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (SearchSpace(layers=5, filters=2, ends=8), "and the search space"),
        (SearchSpace(layers=6, filters=2), "has 5 layers, and the space 6"),
        (SearchSpace(layers=5, filters=2, widths=[8, 12]), "has 4, which the space has not"),
    ],
)
def test_a_genotype_of_another_space(space, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        space.check(Genotype(**TWO_BRANCHES))


def test_the_released_networks_are_of_their_spaces():
    SearchSpace(layers=11, filters=6, ends=8).check(genotype("s"))
    SearchSpace(layers=17, filters=8, ends=8).check(genotype("m"))
    SearchSpace(layers=20, filters=16, ends=12).check(genotype("l"))
