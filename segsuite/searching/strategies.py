"""Who proposes the next candidates: at random, by evolution, or by NSGA-II (see also `predictor`).

A strategy is a generator: it gives a batch of vectors of genes and is sent what they cost. Its
draws depend on the seed alone, so that it proposes the same again when a search goes on.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from segsuite.core.errors import MissingExtra
from segsuite.core.hints import Count, Share
from segsuite.searching.encoding import Judged, Problem, Vector, mutated
from segsuite.searching.objectives import dominates

Proposals = Generator[list[Vector], list[Judged], None]


Strategy = Callable[..., Proposals]
"""Takes a `Problem` and `seed`."""


class RandomSearch:
    """Architectures at random, all alike: what every search must beat.

    Args:
        batch: how many are proposed at once.
    """

    def __init__(self, *, batch: Count = 40) -> None:
        self.batch = batch

    def __call__(self, problem: Problem, *, seed: int) -> Proposals:
        generator = np.random.default_rng(seed % 2**63)
        while True:
            yield [problem.genes.random(generator) for _ in range(self.batch)]


class Nsga2:
    """NSGA-II (Deb et al., 2002) as the paper has it: section 3.4 and 4.2; from three objectives on
    NSGA-III (Deb and Jain, 2014).

    Branches are swapped whole or gene by gene; genes change at random. No architecture stands twice
    in a population; one that was dropped may come again, and its answer is looked up.

    Args:
        population: number of architectures that each generation keeps.
        crossover: probability that two parents are mixed.
        mutation: probability that a gene is drawn anew.

    Raises:
        MissingExtra: pymoo is not installed.
    """

    def __init__(
        self, *, population: Count = 40, crossover: Share = 0.9, mutation: Share = 0.02
    ) -> None:
        self.population, self.crossover, self.mutation = population, crossover, mutation

    def __call__(self, problem: Problem, *, seed: int) -> Proposals:
        pareto = needed_pareto()
        algorithm = pareto.algorithm(
            problem,
            population=self.population,
            crossover=self.crossover,
            mutation=self.mutation,
            seed=seed,
        )
        while True:
            asked = algorithm.ask()
            if asked is None:  # mating gave nothing but duplicates
                return
            judged = yield [vector.astype(np.int64) for vector in asked.get("X")]
            pareto.tell(algorithm, asked, judged)


def needed_pareto() -> Any:
    """The module that needs pymoo.

    Raises:
        MissingExtra: pymoo is not installed.
    """
    try:
        from segsuite.searching import pareto
    except ModuleNotFoundError as error:
        raise MissingExtra("pymoo", "search") from error
    return pareto


class RegularisedEvolution:
    """The oldest of a population gives way to a changed copy of the best of a few (Real et al.,
    AAAI 2019).

    With several objectives, the best of a few is the one that the fewest of them beat.

    Args:
        population: how many architectures live at once.
        sample: of how many the best has a child.
        mutation: probability that a gene is drawn anew.
        batch: how many children are proposed at once.
    """

    def __init__(
        self,
        *,
        population: Count = 40,
        sample: Count = 10,
        mutation: Share = 0.02,
        batch: Count = 8,
    ) -> None:
        self.population, self.sample, self.mutation = population, sample, mutation
        self.batch = batch

    def __call__(self, problem: Problem, *, seed: int) -> Proposals:
        genes, generator = problem.genes, np.random.default_rng(seed % 2**63)
        born = [genes.random(generator) for _ in range(self.population)]
        alive: list[tuple[Vector, Judged]] = []
        while True:
            judged = yield born
            alive = [*alive, *zip(born, judged, strict=True)][-self.population :]
            parents = (self._parent(alive, generator) for _ in range(self.batch))
            born = [mutated(genes, parent, self.mutation, generator) for parent in parents]

    def _parent(
        self, alive: Sequence[tuple[Vector, Judged]], generator: np.random.Generator
    ) -> Vector:
        count = min(self.sample, len(alive))
        few = [alive[place] for place in generator.choice(len(alive), size=count, replace=False)]

        def beaten(one: Judged) -> int:
            return sum(beats(other, one) for _, other in few)

        return min(few, key=lambda pair: (pair[1].exceeds, beaten(pair[1])))[0]


def beats(one: Judged, other: Judged) -> bool:
    """Whether one is nowhere worse and somewhere better; keeping the limits counts first."""
    if one.exceeds != other.exceeds:
        return one.exceeds < other.exceeds
    return dominates(one.costs, other.costs)
