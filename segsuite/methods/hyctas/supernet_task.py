"""Training of the supernet: another sub-network in every iteration (HyCTAS, section 4.2)."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.core.hints import Between, NotNegative
from segsuite.core.idle import counts
from segsuite.data.samples import Batch
from segsuite.engine.task import SegmentationTask
from segsuite.methods.hyctas.genotype import Genotype


@counts(taught={"sandwich": ()})
class SupernetTask(SegmentationTask):
    """Trains a `Supernet`; its validation is that of the largest sub-network.

    That validation is without recalibration, so that it tells whether the supernet learns, not how
    good sub-networks are; a search takes the last checkpoint. Over several processes, batch norms
    are each process's own.

    Which sub-networks an iteration trains depends on `seed` and the iteration alone: all processes
    draw the same, and a training that goes on draws what it would have drawn.

    Args:
        sandwich: the largest and the smallest sub-network are trained in every iteration too, and
            the others are taught by the largest (Yu and Huang, ICCV 2019). The paper trains one at
            random alone.
        random: how many random sub-networks an iteration trains.
        taught: weight of the largest one's teaching, of Kullback and Leibler's divergence at native
            stride; with `sandwich` alone.
        seed: seed of the draws.
    """

    trains_all_weights = False

    @with_arguments_of(SegmentationTask)
    def __init__(
        self,
        *,
        sandwich: bool = False,
        random: Annotated[int, Between(1)] = 1,
        taught: NotNegative = 1.0,
        seed: int = 0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.sandwich, self.random, self.taught, self.seed = sandwich, random, taught, seed

    def drawn(self, iteration: int) -> Iterator[Genotype]:
        """The random sub-networks of an iteration."""
        generator = np.random.default_rng([self.seed % 2**63, iteration])
        return (self.network.space.random(generator) for _ in range(self.random))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Those of all sub-networks of the iteration, added up, and what the largest teaches."""
        images, labels = self.seen(batch), batch["label"]
        others = list(self.drawn(self.trainer.global_step))
        if not self.sandwich:
            return _added(self.loss(self.network.run(g, images), labels) for g in others)
        largest = self.network.run(self.network.largest, images)
        teacher = largest.main.grid_scores.detach().log_softmax(1)
        losses, taught = [self.loss(largest, labels)], []
        for genotype in (*others, self.network.smallest):
            output = self.network.run(genotype, images)
            losses.append(self.loss(output, labels))
            learner = output.main.grid_scores.log_softmax(1)
            apart = torch.nn.functional.kl_div(
                learner, teacher, reduction="none", log_target=True
            ).sum(1)
            taught.append(apart.mean())
        return {**_added(losses), "taught": self.taught * torch.stack(taught).sum()}


def _added(each: Any) -> dict[str, Tensor]:
    """Losses of several sub-networks, by name."""
    total: dict[str, Tensor] = {}
    for losses in each:
        for name, value in losses.items():
            total[name] = total[name] + value if name in total else value
    return total
