"""NSGA-II of pymoo, asked and told: operators on genes, draws from the generator that it gives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import ElementwiseDuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling
from pymoo.core.termination import NoTermination

from segsuite.searching.encoding import Encoding, Judged, crossed, mutated


def algorithm(
    genes: Encoding,
    *,
    population: int,
    crossover: float,
    mutation: float,
    objectives: int,
    limits: int,
    seed: int,
) -> Any:
    """The algorithm, ready to be asked; it never ends by itself."""
    nsga2 = NSGA2(
        pop_size=population,
        sampling=_Random(genes),
        crossover=_Mixed(genes, crossover),
        mutation=_Changed(genes, mutation),
        eliminate_duplicates=_Alike(genes),
    )
    problem = Problem(
        n_var=len(genes.most),
        n_obj=objectives,
        n_ieq_constr=limits,
        xl=np.zeros_like(genes.most),
        xu=genes.most,
        vtype=int,
    )
    # Of its own: a termination that pymoo chooses would end the search without a word.
    nsga2.setup(problem, termination=NoTermination(), seed=seed, verbose=False)
    return nsga2


def tell(algorithm_: Any, asked: Any, judged: Sequence[Judged]) -> None:
    """What the candidates that it asked for cost."""
    asked.set("F", np.stack([one.costs for one in judged]))
    asked.set("G", np.stack([one.excess for one in judged]))
    for one in asked:
        one.evaluated.update({"F", "G"})
    algorithm_.tell(infills=asked)


class _Random(Sampling):
    def __init__(self, genes: Encoding) -> None:
        super().__init__()
        self.genes = genes

    def _do(self, problem: Problem, n_samples: int, *args: Any, random_state: Any, **_: Any) -> Any:
        return np.stack([self.genes.random(random_state) for _ in range(n_samples)])


class _Mixed(Crossover):
    def __init__(self, genes: Encoding, probability: float) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=probability)
        self.genes = genes

    def _do(self, problem: Problem, X: Any, *args: Any, random_state: Any, **_: Any) -> Any:
        pairs = [crossed(self.genes, *pair, random_state) for pair in X.transpose(1, 0, 2)]
        return np.asarray(pairs).transpose(1, 0, 2)


class _Changed(Mutation):
    def __init__(self, genes: Encoding, probability: float) -> None:
        super().__init__(prob=1.0)
        self.genes, self.probability = genes, probability

    def _do(self, problem: Problem, X: Any, *args: Any, random_state: Any, **_: Any) -> Any:
        return np.stack([mutated(self.genes, x, self.probability, random_state) for x in X])


class _Alike(ElementwiseDuplicateElimination):
    """By the architecture: genes of branches that are not there make no difference."""

    def __init__(self, genes: Encoding) -> None:
        super().__init__()
        self.genes = genes

    def is_equal(self, a: Any, b: Any) -> bool:
        return self.genes.decoded(a.X) == self.genes.decoded(b.X)
