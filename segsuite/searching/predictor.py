"""NSGA-II on a prediction of what is expensive, which a few real evaluations keep honest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segsuite.core.hints import Count, Share
from segsuite.searching.encoding import Judged, Problem, Vector
from segsuite.searching.strategies import Proposals, needed_pareto
from segsuite.searching.surrogate import RidgeEnsemble

_DRAWS = 200
"""Random candidates for each that is wanted, before limits count as too tight for chance."""


class Predictor:
    """Evaluates candidates at random, learns from them what accuracy the others have, and then
    those that look best and those that it knows least of, again and again.

    What costs nothing to know is not predicted. It ends when rounds no longer bring anything.

    Args:
        begin: how many candidates are evaluated at random.
        best: how many of each round are of the predicted front, spread over it.
        uncertain: how many of each round are those that the predictions disagree on most.
        population, generations, crossover, mutation: of NSGA-II on the predictions, see `Nsga2`.
        members: how many predictions there are.
        growth, patience: it ends when the hypervolume grew by less than this share in so many
            rounds.
    """

    def __init__(
        self,
        *,
        begin: Count = 50,
        best: Count = 12,
        uncertain: Count = 4,
        population: Count = 40,
        generations: Count = 200,
        crossover: Share = 0.9,
        mutation: Share = 0.02,
        members: Count = 8,
        growth: Share = 0.005,
        patience: Count = 6,
    ) -> None:
        self.begin, self.best, self.uncertain = begin, best, uncertain
        self.generations, self.members = generations, members
        self.evolution: Mapping[str, Any] = {
            "population": population,
            "crossover": crossover,
            "mutation": mutation,
        }
        self.growth, self.patience = growth, patience

    def __call__(self, problem: Problem, *, seed: int) -> Proposals:
        pareto = needed_pareto()
        generator = np.random.default_rng(seed % 2**63)
        known = _Known(problem)
        known.add(batch := self._at_random(problem, generator), (yield batch))
        volumes = [known.volume(pareto)]
        while True:
            batch = self._next(problem, known, pareto, generator)
            if not batch:
                return
            known.add(batch, (yield batch))
            volumes.append(known.volume(pareto))
            if len(volumes) > self.patience:
                before = volumes[-1 - self.patience]
                if volumes[-1] <= before * (1 + self.growth):
                    return

    def _at_random(self, problem: Problem, generator: np.random.Generator) -> list[Vector]:
        """Candidates that keep the limits that cost nothing, as far as chance finds some."""
        found: dict[bytes, Vector] = {}
        for _ in range(_DRAWS * self.begin):
            vector = problem.genes.random(generator)
            if problem.goals.kept(problem.known(vector)):
                found.setdefault(problem.name(vector), vector)
            if len(found) == self.begin:
                break
        return list(found.values())

    def _next(
        self, problem: Problem, known: "_Known", pareto: Any, generator: np.random.Generator
    ) -> list[Vector]:
        """The next ones to evaluate, none of which has been."""
        if not known.vectors:
            return []
        models = known.learnt(members=self.members, generator=generator)
        algorithm = pareto.algorithm(
            problem,
            seed=int(generator.integers(2**31)),
            begin=known.front(),
            **self.evolution,
        )
        seen: dict[bytes, tuple[Vector, Judged, float]] = {}
        for _ in range(self.generations):
            asked = algorithm.ask()
            if asked is None:
                break
            vectors = [vector.astype(np.int64) for vector in asked.get("X")]
            judged, uncertainties = _predicted(problem, models, vectors)
            pareto.tell(algorithm, asked, judged)
            for vector, one, doubt in zip(vectors, judged, uncertainties, strict=True):
                if one.exceeds == 0:
                    seen.setdefault(problem.name(vector), (vector, one, doubt))
        fresh = [three for name, three in seen.items() if name not in known.names]
        if not fresh:
            return []
        costs = np.stack([one.costs for _, one, _ in fresh])
        best = spread(costs, self.best)
        # Of those near the front: a doubt about what is far from it is not worth a look.
        left = [place for place in spread(costs, 4 * self.best) if place not in set(best)]
        left.sort(key=lambda place: -fresh[place][2])
        return [fresh[place][0] for place in (*best, *left[: self.uncertain])]


class _Known:
    """What was evaluated."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.vectors: list[Vector] = []
        self.judged: list[Judged] = []
        self.names: set[bytes] = set()
        self.reach: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def add(self, vectors: Sequence[Vector], judged: Sequence[Judged]) -> None:
        for vector, one in zip(vectors, judged, strict=True):
            self.names.add(self.problem.name(vector))
            if self.problem.goals.complete(one.metrics):  # others had no evaluation, or failed
                self.vectors.append(vector)
                self.judged.append(one)

    def learnt(self, *, members: int, generator: np.random.Generator) -> dict[str, RidgeEnsemble]:
        """A prediction of each metric that is not known anyway."""
        given = self.problem.known(self.vectors[0])
        features = features_of(self.problem, self.vectors)
        return {
            name: RidgeEnsemble(
                features,
                np.array([one.metrics[name] for one in self.judged]),
                members=members,
                generator=generator,
            )
            for name in self.problem.goals.metrics
            if name not in given
        }

    def front(self) -> list[Vector]:
        """The best candidates, layer by layer."""
        costs = np.stack([one.costs for one in self.judged])
        return [self.vectors[place] for place in spread(costs, len(costs))]

    def volume(self, pareto: Any) -> float:
        """Hypervolume, up to the worst of the first ones."""
        if not self.judged:
            return 0.0
        costs = np.stack([one.costs for one in self.judged])
        if self.reach is None:
            self.reach = costs.max(0), np.where(np.ptp(costs, axis=0) > 0, np.ptp(costs, axis=0), 1)
        worst, reach = self.reach
        kept = np.array([one.exceeds == 0 for one in self.judged])
        return pareto.hypervolume(((costs - worst) / reach)[kept], np.zeros(costs.shape[1]))


def features_of(problem: Problem, vectors: Sequence[Vector]) -> NDArray[np.float64]:
    """What predictions are made from: the architecture's own features, and the logarithms of what
    is known of it.

    Shapes: -> (N, F)
    """
    rows = []
    for vector in vectors:
        known = [max(float(value), 1e-9) for value in problem.known(vector).values()]
        rows.append(np.concatenate([problem.genes.features(vector), np.log(known)]))
    return np.stack(rows)


def _predicted(
    problem: Problem, models: Mapping[str, RidgeEnsemble], vectors: Sequence[Vector]
) -> tuple[list[Judged], NDArray[np.float64]]:
    """What candidates cost by the models, and how much these disagree about each."""
    features = features_of(problem, vectors)
    answers = {name: model(features) for name, model in models.items()}
    judged = [
        problem.judged(
            {**problem.known(vector), **{n: float(mean[i]) for n, (mean, _) in answers.items()}}
        )
        for i, vector in enumerate(vectors)
    ]
    uncertainties = [doubt / max(float(mean.std()), 1e-12) for mean, doubt in answers.values()]
    return judged, np.sum(uncertainties, axis=0) if uncertainties else np.zeros(len(vectors))


def spread(costs: NDArray[np.float64], count: int) -> list[int]:
    """Places of the best: the front, then the next one; of the last, those that stand most alone.

    Shapes: costs (N, M)
    """
    chosen: list[int] = []
    left = list(range(len(costs)))
    while left and len(chosen) < count:
        own = costs[left]
        beaten = (own[None] <= own[:, None]).all(2) & (own[None] < own[:, None]).any(2)
        layer = [place for place, some in zip(left, beaten.any(1), strict=True) if not some]
        left = [place for place in left if place not in set(layer)]
        chosen += _apart(costs, layer, count - len(chosen))
    return chosen


def _apart(costs: NDArray[np.float64], places: list[int], count: int) -> list[int]:
    """The extremes, then again and again whoever is farthest from all that are chosen."""
    if len(places) <= count:
        return places
    own = costs[places]
    reach = np.ptp(own, axis=0)
    own = (own - own.min(0)) / np.where(reach > 0, reach, 1.0)
    chosen = list(dict.fromkeys(int(place) for place in own.argmin(0)))[:count]
    distance = np.min(np.linalg.norm(own[:, None] - own[chosen][None], axis=2), axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(own - own[chosen[-1]], axis=1))
    return [places[place] for place in chosen]
