"""Training of the supernet: another sub-network in every iteration (HyCTAS, section 4.2)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.core.hints import Between, NotNegative
from segsuite.core.idle import counts
from segsuite.data.samples import Batch
from segsuite.engine.task import SegmentationTask
from segsuite.methods.hyctas.genotype import Genotype

Sandwich = Literal["none", "widths", "space"]


@counts(taught={"sandwich": ("widths", "space")})
class SupernetTask(SegmentationTask):
    """Trains a `Supernet`; its validation is that of the largest sub-network.

    That validation is without recalibration, so that it tells whether the supernet learns, not how
    good sub-networks are; a search takes the last checkpoint. Over several processes, batch norms
    are each process's own.

    Which sub-networks an iteration trains depends on `seed` and the iteration alone: all processes
    draw the same, and a training that goes on draws what it would have drawn.

    Args:
        sandwich: what is trained beside a random sub-network, and that the larger teaches (Yu and
            Huang, ICCV 2019). `none`, as the paper; `widths`: the same one at full and at the least
            width; `space`: the largest and the smallest of all, which are then the best trained by
            far, so that estimates flatter them.
        random: how many random sub-networks an iteration trains.
        taught: weight of the larger one's teaching, of Kullback and Leibler's divergence at native
            stride; with a `sandwich` alone.
        seed: seed of the draws.
    """

    trains_all_weights = False

    @with_arguments_of(SegmentationTask)
    def __init__(
        self,
        *,
        sandwich: Sandwich = "none",
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

    def trained(self, iteration: int) -> list[list[Genotype]]:
        """The sub-networks of an iteration, in groups of which the first teaches the others."""
        net, random = self.network, list(self.drawn(iteration))
        if self.sandwich == "space":
            return [[net.largest, *random, net.smallest]]
        if self.sandwich == "widths":
            least, most = net.space.widths[0], net.space.widths[-1]
            at_width = net.space.at_width
            return [[at_width(g, most), g, at_width(g, least)] for g in random]
        return [[g] for g in random]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Those of all sub-networks of the iteration, added up, and what the larger teach."""
        images, labels = self.seen(batch), batch["label"]
        losses, taught = [], []
        for first, *others in self.trained(self.trainer.global_step):
            output = self.network.run(first, images)
            losses.append(self.loss(output, labels))
            teacher = output.main.grid_scores.detach().log_softmax(1)
            for genotype in others:
                output = self.network.run(genotype, images)
                losses.append(self.loss(output, labels))
                learner = output.main.grid_scores.log_softmax(1)
                apart = torch.nn.functional.kl_div(
                    learner, teacher, reduction="none", log_target=True
                ).sum(1)
                taught.append(apart.mean())
        if not taught:
            return _added(losses)
        return {**_added(losses), "taught": self.taught * torch.stack(taught).sum()}


def _added(each: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Losses of several sub-networks, by name."""
    total: dict[str, Tensor] = {}
    for losses in each:
        for name, value in losses.items():
            total[name] = total[name] + value if name in total else value
    return total
