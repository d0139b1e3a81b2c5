"""Search spaces in genes: what strategies know of one, and how vectors change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segsuite.searching.objectives import Goals

Vector = NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """What a candidate costs.

    Attributes:
        costs: the objectives, to be as low as possible.
        excess: by how much each limit is exceeded; 0 or less where it is kept.
        metrics: what is known of it; those that need an evaluation are not there if it had none.
    """

    costs: NDArray[np.float64]
    excess: NDArray[np.float64]
    metrics: Mapping[str, float]

    @property
    def exceeds(self) -> float:
        """All excesses together."""
        return float(np.maximum(self.excess, 0).sum())


class Encoding(Protocol):
    """A search space in genes, such as `methods.hyctas.genes.Genes`."""

    most: Vector
    blocks: Sequence[slice]

    def random(self, generator: np.random.Generator) -> Vector:
        """A vector of an architecture at random."""

    def repaired(self, vector: Vector, generator: np.random.Generator) -> Vector:
        """The nearest vector of an architecture."""

    def decoded(self, vector: Vector) -> Any:
        """The architecture; equal ones are one."""

    def canonical(self, vector: Vector) -> Vector:
        """The one vector that stands for all of the same architecture."""

    def features(self, vector: Vector) -> NDArray[np.float64]:
        """Numbers from which its accuracy may be predicted by a sum."""


@dataclass(frozen=True)
class Problem:
    """What a strategy is to solve.

    Attributes:
        genes: the search space.
        goals: what is optimised, and what must not be exceeded.
        known: the metrics of a vector that need no evaluation.
    """

    genes: Encoding
    goals: Goals
    known: Callable[[Vector], Mapping[str, float]]

    def judged(self, metrics: Mapping[str, float]) -> Judged:
        """What a candidate costs of which this is known."""
        return Judged(self.goals.costs(metrics), self.goals.excess(metrics), metrics)

    def name(self, vector: Vector) -> bytes:
        """Equal for vectors of one architecture."""
        return self.genes.canonical(vector).tobytes()


def mutated(
    genes: Encoding, vector: Vector, probability: float, generator: np.random.Generator
) -> Vector:
    """A copy of which each gene, and at least one, is drawn anew with that probability."""
    changed = generator.random(len(vector)) < probability
    if not changed.any():
        changed[generator.integers(len(vector))] = True
    drawn = generator.integers(0, genes.most + 1)
    return genes.repaired(np.where(changed, drawn, vector), generator)


def crossed(
    genes: Encoding, first: Vector, second: Vector, generator: np.random.Generator
) -> tuple[Vector, Vector]:
    """Two children: of each branch, its whole block is swapped, or gene by gene."""
    swap = generator.random(len(first)) < 0.5
    for block in genes.blocks:
        if generator.random() < 0.5:
            swap[block] = generator.random() < 0.5
    pair = np.where(swap, second, first), np.where(swap, first, second)
    return genes.repaired(pair[0], generator), genes.repaired(pair[1], generator)
