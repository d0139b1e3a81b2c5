"""Strategies: the same proposals again, limits kept, and better than chance on a known space."""

import numpy as np
import pytest

from segsuite.searching.encoding import crossed, mutated
from segsuite.searching.objectives import Goals
from segsuite.searching.pareto import hypervolume
from segsuite.searching.predictor import Predictor
from segsuite.searching.strategies import Nsga2, RandomSearch, RegularisedEvolution, Strategy
from tests.searching.made import Words

pytest.importorskip("pymoo")
GOALS = Goals(("miou", "gmacs"), {})
STRATEGIES = {
    "random": RandomSearch(batch=20),
    "nsga2": Nsga2(population=20, mutation=0.1),
    "evolution": RegularisedEvolution(population=20, mutation=0.1, batch=20),
    "predictor": Predictor(
        begin=50, best=12, uncertain=4, population=20, generations=40, patience=9
    ),
}
KNOWN = (-4.0, 12.0)
"""What every word of use beats."""


def proposed(strategy: Strategy, budget: int, *, seed: int = 0, goals: Goals = GOALS):
    """Vectors in the order of their proposal, and what they cost."""
    words, vectors, found = Words(), [], []
    problem = words.problem(goals)
    proposals = strategy(problem, seed=seed)
    batch = next(proposals)
    while len(vectors) < budget:
        answers = [problem.judged(words.metrics(words.decoded(vector))) for vector in batch]
        vectors += batch
        found += answers
        batch = proposals.send(answers)
    return np.stack(vectors[:budget]), found[:budget]


def volume(found) -> float:
    return hypervolume(np.stack([one.costs for one in found]), KNOWN)


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
    areas = {
        kind: volume(proposed(STRATEGIES[kind], 400, seed=seed)[1]) for kind in (name, "random")
    }
    assert areas[name] > 1.1 * areas["random"]


@pytest.mark.parametrize("seed", range(3))
def test_a_predictor_needs_a_quarter_of_the_evaluations(seed):
    """The truth is a sum of genes, which a ridge regression can learn."""
    few = volume(proposed(STRATEGIES["predictor"], 150, seed=seed)[1])
    assert few > 0.98 * volume(proposed(STRATEGIES["nsga2"], 600, seed=seed)[1])


def test_a_predictor_ends_when_rounds_bring_nothing():
    strategy = Predictor(begin=50, population=20, generations=40, growth=0.5, patience=1)
    words = Words()
    problem = words.problem(GOALS)
    proposals = strategy(problem, seed=0)
    batch, count = next(proposals), 0
    with pytest.raises(StopIteration):
        while count < 2000:
            count += len(batch)
            batch = proposals.send([problem.judged(words.metrics(words.decoded(v))) for v in batch])
    assert count < 200


def test_nsga2_proposes_no_architecture_twice():
    words = Words()
    vectors, _ = proposed(STRATEGIES["nsga2"], 200)
    generations = vectors.reshape(10, 20, -1)
    for generation in generations:
        assert len({words.decoded(vector) for vector in generation}) == 20


def test_three_objectives_are_searched_by_directions():
    """By NSGA-III, whose directions are no more than a generation can follow."""
    words, goals = Words(), Goals(("miou", "gmacs", "memory"), {})

    def metrics(vector):
        known = words.metrics(words.decoded(vector))
        return {**known, "memory": float(vector.max())}

    problem = words.problem(goals)
    proposals = Nsga2(population=20, mutation=0.1)(problem, seed=0)
    batch, found = next(proposals), []
    for _ in range(10):
        assert len(batch) == 20
        answers = [problem.judged(metrics(vector)) for vector in batch]
        found += answers
        batch = proposals.send(answers)
    first, last = (
        hypervolume(np.stack([one.costs for one in part]), (-4.0, 12.0, 5.0))
        for part in (found[:20], found)
    )
    assert last > 1.3 * first


def test_limits_are_learnt():
    limited = Goals(("miou",), {"gmacs": 6.0})
    _, found = proposed(STRATEGIES["nsga2"], 400, goals=limited)
    kept = [one.exceeds == 0 for one in found]
    assert np.mean(kept[:20]) < 0.3 < 0.45 < np.mean(kept[-100:])
    best = [min(one.costs[0] for one in part if one.exceeds == 0) for part in (found[:100], found)]
    assert best[1] < best[0]


def test_candidates_that_were_not_evaluated_do_not_take_over():
    """nan would never be dominated; what is far and exceeds a limit is."""
    goals = Goals(("miou",), {"gmacs": 6.0})
    unknown = Words().problem(goals).judged({"gmacs": 9.0})
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
