"""Genotypes as vectors of whole numbers, for algorithms that search (HyCTAS, section 3.4).

Each branch has its own genes, whether it is there or not: one that says so, where it halves the
resolution, and the operation and width of each layer. The paper's one-hot code is equivalent.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segsuite.methods.hyctas.genotype import SCALES, Genotype
from segsuite.methods.hyctas.space import SearchSpace

Vector = NDArray[np.int64]


class Genes:
    """The code of a search space.

    A branch's block is (is it there, its downs, operations, widths); blocks are ordered by where
    branches end.

    Attributes:
        most: the greatest value of each gene; the least is 0.
        blocks: where each branch's genes are.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        layers, parts = space.layers, []
        self.blocks: list[slice] = []
        start = 0
        for last in range(len(SCALES)):
            most = [1, *[layers - 2] * last]
            most += [len(space.operations) - 1] * layers + [len(space.widths) - 1] * (layers - 1)
            parts.append(most)
            self.blocks.append(slice(start, start + len(most)))
            start += len(most)
        self.most: Vector = np.concatenate([np.asarray(part) for part in parts])

    def random(self, generator: np.random.Generator) -> Vector:
        """As `SearchSpace.random` draws; genes of branches that are not there are random too."""
        vector = generator.integers(0, self.most + 1)
        return self._with(vector, self.space.random(generator))

    def encoded(self, genotype: Genotype) -> Vector:
        """The vector of a genotype; 0 for branches that are not there."""
        return self._with(np.zeros_like(self.most), genotype)

    def decoded(self, vector: Vector) -> Genotype:
        """The genotype of a vector that keeps the rules, see `repaired`."""
        branches = []
        for last, block in enumerate(self.blocks):
            there, downs, operations, widths = self._split(vector[block], last)
            if there:
                branches.append(
                    {
                        "operations": [self.space.operations[gene] for gene in operations],
                        "widths": [self.space.widths[gene] for gene in widths],
                        "downs": [int(down) for down in downs],
                    }
                )
        return self.space.genotype(branches)

    def repaired(self, vector: Vector, generator: np.random.Generator) -> Vector:
        """The vector with as few genes drawn anew as make it a genotype.

        A branch is switched on where there is none; downs are sorted, and drawn anew where another
        branch has them; and where the resolution halves, a skip becomes another operation.
        """
        vector = vector.copy()
        if not any(vector[block.start] for block in self.blocks):
            vector[self.blocks[generator.integers(len(self.blocks))].start] = 1
        halving = [i for i, name in enumerate(self.space.operations) if name != "skip"]
        taken: set[int] = set()
        for last, block in enumerate(self.blocks):
            genes = vector[block]  # a view
            there, downs, operations, _ = self._split(genes, last)
            if not there:
                continue
            for place in range(last):
                while int(downs[place]) in taken:
                    downs[place] = generator.integers(self.space.layers - 1)
                taken.add(int(downs[place]))
            downs.sort()
            for down in downs:
                if operations[down] not in halving:
                    operations[down] = halving[generator.integers(len(halving))]
        return vector

    def canonical(self, vector: Vector) -> Vector:
        """The vector with 0 for all genes of branches that are not there."""
        vector = vector.copy()
        for block in self.blocks:
            if not vector[block.start]:
                vector[block] = 0
        return vector

    def features(self, vector: Vector) -> NDArray[np.float64]:
        """Of each branch, zeros where it is not there: the operation and width of each layer
        (one-hot), how many layers of each operation there are at each scale, and how wide they are.
        """
        space, parts = self.space, []
        for last, block in enumerate(self.blocks):
            there, downs, operations, widths = self._split(vector[block], last)
            scales = (downs[:, None] < np.arange(space.layers)).sum(0)  # of what each layer reads
            counts = np.zeros((len(SCALES), len(space.operations)))
            np.add.at(counts, (scales, operations), 1)
            wide = np.zeros(len(SCALES))
            np.add.at(wide, scales[:-1], np.asarray(space.widths)[widths] / max(space.widths))
            own = [
                np.ones(1),
                np.eye(len(space.operations))[operations].ravel(),
                np.eye(len(space.widths))[widths].ravel(),
                counts.ravel(),
                wide,
            ]
            parts.append(np.concatenate(own) * there)
        return np.concatenate(parts)

    def _split(self, genes: Vector, last: int) -> tuple[bool, Vector, Vector, Vector]:
        """Views of a block's parts."""
        layers = self.space.layers
        downs, rest = genes[1 : 1 + last], genes[1 + last :]
        return bool(genes[0]), downs, rest[:layers], rest[layers:]

    def _with(self, vector: Vector, genotype: Genotype) -> Vector:
        there: dict[int, Any] = {branch.last: branch for branch in genotype.branches}
        for last, block in enumerate(self.blocks):
            genes = vector[block]
            genes[0] = last in there
            if last in there:
                branch, (_, downs, operations, widths) = there[last], self._split(genes, last)
                downs[:] = branch.downs
                operations[:] = [self.space.operations.index(n) for n in branch.operations]
                widths[:] = [self.space.widths.index(w) for w in branch.widths]
        return vector
