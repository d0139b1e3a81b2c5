"""Evolution towards a front by pymoo, asked and told; draws come from the generator that it gives.

NSGA-II for one and two objectives, NSGA-III (Deb and Jain, 2014) from three on, where crowding no
longer tells candidates apart.
"""

from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DefaultDuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem as Box
from pymoo.core.sampling import Sampling
from pymoo.core.termination import NoTermination
from pymoo.indicators.hv import Hypervolume
from pymoo.util.ref_dirs import get_reference_directions

from segsuite.core.errors import ConfigError
from segsuite.searching.encoding import Encoding, Judged, Problem, Vector, crossed, mutated


def algorithm(
    problem: Problem,
    *,
    population: int,
    crossover: float,
    mutation: float,
    seed: int,
    begin: Sequence[Vector] = (),
) -> Any:
    """The algorithm, ready to be asked; it never ends by itself.

    Args:
        population: how many candidates each generation keeps.
        crossover, mutation: probability that two parents are mixed, and that a gene is drawn anew.
        begin: candidates of the first generation; the rest of it is drawn.
    """
    genes, objectives = problem.genes, len(problem.goals.names)
    kind = {
        "pop_size": population,
        "sampling": _Begin(genes, begin),
        "crossover": _Mixed(genes, crossover),
        "mutation": _Changed(genes, mutation),
        "eliminate_duplicates": _Alike(genes),
    }
    if objectives >= 3 and population < objectives:
        raise ConfigError(
            f"strategy.population={population} is too few for {objectives} objectives; type "
            f"strategy.population={10 * objectives} or more"
        )
    if objectives < 3:
        made = NSGA2(**kind)
    else:
        made = NSGA3(ref_dirs=_directions(objectives, population), **kind)
    box = Box(
        n_var=len(genes.most),
        n_obj=objectives,
        n_ieq_constr=len(problem.goals.limits),
        xl=np.zeros_like(genes.most),
        xu=genes.most,
        vtype=int,
    )
    # Of its own: a termination that pymoo chooses would end the search without a word.
    made.setup(box, termination=NoTermination(), seed=seed % 2**31, verbose=False)
    return made


def tell(algorithm_: Any, asked: Any, judged: Sequence[Judged]) -> None:
    """What the candidates that it asked for cost."""
    asked.set("F", np.stack([one.costs for one in judged]))
    asked.set("G", np.stack([one.excess for one in judged]))
    for one in asked:
        one.evaluated.update({"F", "G"})
    algorithm_.tell(infills=asked)


def hypervolume(costs: NDArray[np.float64], reference: Sequence[float]) -> float:
    """The volume that some of the candidates beat, up to a point that each of them should beat.

    Shapes: costs (N, M)
    """
    if not len(costs):
        return 0.0
    return float(Hypervolume(ref_point=np.asarray(reference, float), norm_ref_point=False)(costs))


def _directions(objectives: int, population: int) -> NDArray[np.float64]:
    """Das and Dennis' directions, as many as the population can follow."""
    parts = 1
    while comb(objectives + parts, parts + 1) <= population:
        parts += 1
    return get_reference_directions("das-dennis", objectives, n_partitions=parts)


class _Begin(Sampling):
    def __init__(self, genes: Encoding, begin: Sequence[Vector]) -> None:
        super().__init__()
        self.genes, self.begin = genes, list(begin)

    def _do(self, problem: Box, n_samples: int, *args: Any, random_state: Any, **_: Any) -> Any:
        given = self.begin[:n_samples]
        drawn = [self.genes.random(random_state) for _ in range(n_samples - len(given))]
        return np.stack([*given, *drawn])


class _Mixed(Crossover):
    def __init__(self, genes: Encoding, probability: float) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=probability)
        self.genes = genes

    def _do(self, problem: Box, X: Any, *args: Any, random_state: Any, **_: Any) -> Any:
        pairs = [crossed(self.genes, *pair, random_state) for pair in X.transpose(1, 0, 2)]
        return np.asarray(pairs).transpose(1, 0, 2)


class _Changed(Mutation):
    def __init__(self, genes: Encoding, probability: float) -> None:
        super().__init__(prob=1.0)
        self.genes, self.probability = genes, probability

    def _do(self, problem: Box, X: Any, *args: Any, random_state: Any, **_: Any) -> Any:
        return np.stack([mutated(self.genes, x, self.probability, random_state) for x in X])


class _Alike(DefaultDuplicateElimination):
    """By the architecture: genes of branches that are not there make no difference."""

    def __init__(self, genes: Encoding) -> None:
        super().__init__(func=lambda pop: np.stack([genes.canonical(one.X) for one in pop]))
