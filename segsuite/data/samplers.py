"""Which samples make up which batch, on which rank, from whatever iteration on.

The default samplers of torch cannot start in the middle, and Lightning's replacement pads
evaluation with repeated images, which falsifies the metrics.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler

from segsuite.core.seeding import stream

ORDER, AUGMENTATION = 0, 1
"""What a stream of random numbers is for, as its key beside the seed and the pass or draw."""

Draw = tuple[int, int]
"""(index of the sample, number of the draw); the augmentation depends on the latter."""


@dataclass(kw_only=True, eq=False)
class EndlessBatches(Sampler[list[Draw]]):
    """Batches without end, each sample once in every pass, in an order that depends on the seed.

    Draw number d is the d-th sample of the whole run over all ranks, so that neither a restart nor
    the number of workers changes what is drawn, and ranks share out each global batch.

    Attributes:
        start: number of batches (per rank) that an interrupted run has done already.
    """

    length: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    start: int = 0

    def __iter__(self) -> Iterator[list[Draw]]:
        passes, order = -1, []
        draw = (self.start * self.world_size + self.rank) * self.batch_size
        while True:
            batch = []
            for number in range(draw, draw + self.batch_size):
                if number // self.length != passes:
                    passes = number // self.length
                    order = torch.randperm(
                        self.length, generator=stream(self.seed, ORDER, passes)
                    ).tolist()
                batch.append((order[number % self.length], number))
            yield batch
            draw += self.world_size * self.batch_size


class ShardedOnce(Sampler[int]):
    """Every sample exactly once over all ranks; ranks may differ by one sample, none is padded."""

    def __init__(self, *, length: int, rank: int = 0, world_size: int = 1) -> None:
        self._indices = range(rank, length, world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)
