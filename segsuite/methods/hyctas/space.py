"""The search space: which genotypes there are, and one of them at random.

HyCTAS, section 3.2: a grid of layers and scales; a branch is a path through it that halves the
resolution where it likes, at most once for each scale, and never in its last layer.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from segsuite.core.arguments import with_arguments_of
from segsuite.core.errors import ConfigError
from segsuite.core.hints import Between, Count, Share
from segsuite.methods.hyctas.channels import FULL, Channels, Rounding
from segsuite.methods.hyctas.genotype import OPERATIONS, SCALES, Genotype

Layers = Annotated[int, Between(5, 60)]

ENDINGS = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
"""Where branches may end, as indices of `SCALES`. The paper lists six and shows the seventh, 1/16
beside 1/32, in its figure 4."""


class SearchSpace:
    """All genotypes of so many layers.

    Args:
        layers: layers of each branch.
        filters, ends, rounding: of every genotype, see `Genotype`.
        widths: twelfths of the full width that a layer may have.
        operations: names of those that a layer may be.
        branch_shares: how likely one, two and three branches are in a random one.

    Raises:
        ConfigError: an operation or a width that there is not, or none that can halve a resolution.
    """

    def __init__(
        self,
        *,
        layers: Layers = 20,
        filters: Count = 16,
        ends: Annotated[int, Between(1, FULL)] = FULL,
        rounding: Rounding = "round",
        widths: Sequence[Annotated[int, Between(1, FULL)]] = (4, 6, 8, 10, 12),
        operations: Sequence[str] = OPERATIONS,
        branch_shares: Sequence[Share] = (0.2, 0.3, 0.5),
    ) -> None:
        self.layers, self.channels = layers, Channels(filters, ends, rounding)
        self.widths, self.operations = tuple(sorted(set(widths))), tuple(operations)
        if unknown := [name for name in operations if name not in OPERATIONS]:
            raise ConfigError(
                f"operations={list(operations)}: {unknown[0]} is none of {', '.join(OPERATIONS)}"
            )
        if not self.widths or not self.halving:
            raise ConfigError(
                "the search space is empty: it needs a width and an operation other than skip"
            )
        if len(branch_shares) != len(SCALES) or abs(sum(branch_shares) - 1) > 1e-6:
            raise ConfigError(
                f"branch_shares={list(branch_shares)} are not the shares of one, two and three "
                "branches, which add up to 1"
            )
        self.branch_shares = tuple(share / sum(branch_shares) for share in branch_shares)

    @property
    def halving(self) -> tuple[str, ...]:
        """The operations that may stand where the resolution halves."""
        return tuple(name for name in self.operations if name != "skip")

    def random(self, generator: np.random.Generator) -> Genotype:
        """The number of branches by its shares, everything else uniformly (section 4.2)."""
        count = 1 + int(generator.choice(len(SCALES), p=self.branch_shares))
        endings = [ends for ends in ENDINGS if len(ends) == count]
        lasts = endings[generator.integers(len(endings))]
        free = list(range(self.layers - 1))
        branches = []
        for last in lasts:
            downs = sorted(int(d) for d in generator.choice(free, size=last, replace=False))
            free = [layer for layer in free if layer not in downs]  # no two branches in one layer
            branches.append(self._branch(downs, generator))
        return self.genotype(branches)

    def extreme(self, *, largest: bool) -> Genotype:
        """The widest network of all branches, or the narrowest of one; with the costliest or the
        cheapest operations."""
        width = self.widths[-1 if largest else 0]
        costliest_first = ("light2", "conv", "light", "attention", "skip")
        there = [name for name in costliest_first if name in self.operations]
        halving = [name for name in there if name != "skip"]
        chosen, at_down = (there[0], halving[0]) if largest else (there[-1], halving[-1])
        third = max(self.layers // 3, 1)
        every = [[], [third], [third - 1, 2 * third]] if largest else [[]]
        return self.genotype(
            [
                {
                    "operations": [
                        at_down if layer in downs else chosen for layer in range(self.layers)
                    ],
                    "widths": [width] * (self.layers - 1),
                    "downs": downs,
                }
                for downs in every
            ]
        )

    def widest(self, lasts: Sequence[int]) -> Genotype:
        """A network of full width whose branches end there, in as few layers as that takes."""
        downs = {0: [], 1: [1], 2: [2, 3]}
        branches = [
            {
                "operations": [self.halving[0]] * 5,
                "widths": [max(*self.widths, self.channels.ends)] * 4,
                "downs": downs[last],
            }
            for last in lasts
        ]
        return self.genotype(branches)

    def at_width(self, genotype: Genotype, width: int) -> Genotype:
        """The same operations, in layers of this width."""
        branches = genotype.to_dict()["branches"]
        return self.genotype([{**b, "widths": [width] * len(b["widths"])} for b in branches])

    def genotype(self, branches: Sequence[dict[str, Any]]) -> Genotype:
        """A genotype of these branches with the channels of this space."""
        return Genotype(branches=branches, **vars(self.channels))

    def check(self, genotype: Genotype) -> None:
        """Raises ConfigError for a genotype that is none of this space."""
        if genotype.channels != self.channels:
            raise ConfigError(
                f"the genotype has {genotype.channels}, and the search space {self.channels}"
            )
        for number, branch in enumerate(genotype.branches):
            if branch.depth != self.layers:
                raise ConfigError(
                    f"branches[{number}] has {branch.depth} layers, and the space {self.layers}"
                )
            odd = [w for w in branch.widths if w not in self.widths]
            odd += [name for name in branch.operations if name not in self.operations]
            if odd:
                raise ConfigError(f"branches[{number}] has {odd[0]}, which the space has not")

    def _branch(self, downs: list[int], generator: np.random.Generator) -> dict[str, Any]:
        def drawn(choices: Sequence[Any]) -> Any:
            return choices[generator.integers(len(choices))]

        return {
            "operations": [
                drawn(self.halving if layer in downs else self.operations)
                for layer in range(self.layers)
            ],
            "widths": [drawn(self.widths) for _ in range(self.layers - 1)],
            "downs": downs,
        }


@with_arguments_of(SearchSpace, without=("branch_shares",))
def random_genotype(
    *, branches: Annotated[int, Between(1, len(SCALES))], seed: int = 0, **space: Any
) -> Genotype:
    """An architecture at random of so many branches.

    Args:
        space: of the search space, see `SearchSpace`.
    """
    shares = [float(count == branches) for count in range(1, 1 + len(SCALES))]
    drawn = SearchSpace(branch_shares=shares, **space)
    return drawn.random(np.random.default_rng(seed % 2**63))
