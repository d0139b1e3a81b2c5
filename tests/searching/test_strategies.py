"""Strategies: the same proposals again, limits kept, and better than chance on a known space."""

import numpy as np
import pytest

from segsuite.searching.encoding import crossed, mutated
from segsuite.searching.objectives import Goals
from segsuite.searching.strategies import Nsga2, RandomSearch, RegularisedEvolution, Strategy
from tests.searching.made import Words, hypervolume, judged

pytest.importorskip("pymoo")
GOALS = Goals(("miou", "gmacs"), {})
STRATEGIES = {
    "random": RandomSearch(batch=20),
    "nsga2": Nsga2(population=20, mutation=0.1),
    "evolution": RegularisedEvolution(population=20, mutation=0.1, batch=20),
}


def proposed(strategy: Strategy, budget: int, *, seed: int = 0, goals: Goals = GOALS):
    """Vectors in the order of their proposal, and what they cost."""
    words, vectors, found = Words(), [], []
    proposals = strategy(words, objectives=len(goals.names), limits=len(goals.limits), seed=seed)
    batch = next(proposals)
    while len(vectors) < budget:
        answers = [judged(goals, words.metrics(words.decoded(vector))) for vector in batch]
        vectors += batch
        found += answers
        batch = proposals.send(answers)
    return np.stack(vectors[:budget]), found[:budget]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_seed_proposes_the_same(name):
    """And whatever numpy's global generator has drawn meanwhile."""
    first, _ = proposed(STRATEGIES[name], 100, seed=3)
    np.random.seed(1)
    np.random.rand()
    second, _ = proposed(STRATEGIES[name], 100, seed=3)
    assert (first == second).all()
    assert (first != proposed(STRATEGIES[name], 100, seed=4)[0]).any()
    assert ((first >= 0) & (first <= 4)).all() and first.dtype == np.int64


@pytest.mark.parametrize("name", ["nsga2", "evolution"])
@pytest.mark.parametrize("seed", range(3))
def test_better_than_chance_for_as_many_evaluations(name, seed):
    reference = (-4.0, 12.0)
    areas = {
        kind: hypervolume(
            np.stack([one.costs for one in proposed(STRATEGIES[kind], 400, seed=seed)[1]]),
            reference,
        )
        for kind in (name, "random")
    }
    assert areas[name] > 1.1 * areas["random"]


def test_nsga2_proposes_no_architecture_twice():
    words = Words()
    vectors, _ = proposed(STRATEGIES["nsga2"], 200)
    generations = vectors.reshape(10, 20, -1)
    for generation in generations:
        assert len({words.decoded(vector) for vector in generation}) == 20


def test_limits_are_learnt():
    limited = Goals(("miou",), {"gmacs": 6.0})
    _, found = proposed(STRATEGIES["nsga2"], 400, goals=limited)
    kept = [one.exceeds == 0 for one in found]
    assert np.mean(kept[:20]) < 0.3 < 0.45 < np.mean(kept[-100:])
    best = [min(one.costs[0] for one in part if one.exceeds == 0) for part in (found[:100], found)]
    assert best[1] < best[0]


def test_candidates_that_were_not_evaluated_do_not_take_over():
    """nan would never be dominated; what is far and exceeds a limit is."""
    unknown = judged(Goals(("miou",), {"gmacs": 6.0}), {"gmacs": 9.0})
    assert np.isfinite(unknown.costs).all() and unknown.exceeds > 0


def test_operators_keep_to_their_parents():
    words, generator = Words(), np.random.default_rng(0)
    first, second = np.zeros(16, int), np.full(16, 4)
    for _ in range(50):
        one, other = crossed(words, first, second, generator)
        assert ((one == first) | (one == second)).all() and (one + other == 4).all()
        changed = mutated(words, first, 0.0, generator)
        assert (changed != first).sum() <= 1
    assert not first.any()
