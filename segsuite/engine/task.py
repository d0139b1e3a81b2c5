"""Training and evaluation of any Segmenter; a method brings its loss."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segsuite.core.errors import ConfigError, raised_in
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Batch
from segsuite.engine.distillation import Distillation
from segsuite.engine.inference.modes import Inference, Watcher
from segsuite.engine.optim import parameter_groups, scale_learning_rates
from segsuite.metrics.iou import SUMMARY, MeanIoU
from segsuite.nn.segmenter import Segmenter

Loss = Callable[[Any, Tensor], dict[str, Tensor]]
"""From a network's output and labels (B, H, W) to scalar losses by name, already weighted."""


class SegmentationTask(LightningModule):
    """Trains and scores a network; a method whose loss needs more than labels overrides `losses`,
    and adds to what super().losses(batch) gives; one whose network sees more overrides `seen`.

    Logs `train/loss`, `train/<name>` for each loss, and `val/` or `test/` miou, pacc, macc, fwiou
    and baseline_miou, that of always answering the commonest class; and miou_<group> where the
    class table has groups.

    Args:
        network: what is trained.
        classes: the classes of the data, for tables and images.
        inference: how images of any size are segmented.
        loss: of the network's output and the labels.
        optimizer: takes parameter groups.
        schedule: takes the optimiser and `max_steps`; stepped after every iteration.
        groups: rules of `engine.optim.parameter_groups`, on names such as `backbone.pos_embed`.
        distillation: from a teacher, beside the loss; None for none.
    """

    def __init__(
        self,
        *,
        network: Segmenter,
        classes: ClassTable,
        inference: Inference,
        loss: Loss,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        groups: Sequence[Mapping[str, Any]] = (),
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.classes = classes
        self.inference = inference
        self.loss = loss
        self.metric = MeanIoU(num_classes=network.num_classes)
        self._optimizer = optimizer
        self._schedule = schedule
        self._groups = groups
        self.distillation = distillation or Distillation()

    @property
    def figures(self) -> tuple[str, ...]:
        """What is logged of each evaluation, behind `val/` or `test/`."""
        groups = dict.fromkeys(self.class_groups)
        return (*SUMMARY, *(f"miou_{group}" for group in groups))

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the network's outputs are called in tables."""
        return self.classes.names

    @property
    def class_groups(self) -> tuple[str, ...]:
        """The group of each output, such as `rare`; empty where classes have none."""
        return self.classes.groups

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses by name, already weighted: their sum is what is minimised."""
        output = self.network(self.seen(batch))
        taught = self.distillation.losses(self.network, output, batch)
        return {**self.loss(output, batch["label"]), **taught}

    def seen(self, batch: Batch) -> Tensor:
        """What the network sees of a training batch: (B, 3, H, W), its images."""
        return batch["image"]

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """`loss`: what is minimised; `losses`: its parts by name, for callbacks."""
        losses = self.losses(batch)
        if self.distillation.source is not None and "distillation" not in losses:
            raise ConfigError(
                f"method.distillation.teacher changes nothing: {type(self).__name__} makes its "
                "losses without it; let them be added to those of super().losses(batch)"
            )
        total = torch.stack(list(losses.values())).sum()
        size = len(batch["id"])
        self.log_dict({f"train/{n}": v.detach() for n, v in losses.items()}, batch_size=size)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=size)
        return {"loss": total, "losses": {name: loss.detach() for name, loss in losses.items()}}

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer, schedule = self.optimisation(max_steps=self.trainer.max_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def optimisation(self, *, max_steps: int) -> tuple[Optimizer, LRScheduler]:
        """An optimiser of the network's parameters and its schedule.

        Raises:
            ConfigError: a group fits no parameter, or a value that the optimiser refuses.
        """
        named = [(n.removeprefix("network."), p) for n, p in self.named_parameters()]
        groups = parameter_groups(named, self._groups)
        try:
            optimizer = scale_learning_rates(self._optimizer(groups))
            schedule = self._schedule(optimizer, max_steps=max_steps)
        except (TypeError, ValueError) as error:  # of torch's: "Invalid learning rate: -1"
            if not raised_in(error, "torch."):
                raise
            raise ConfigError(f"method.optimizer or its groups: {error}") from error
        return optimizer, schedule

    def predicted_labels(self, batch: Batch, *, watch: Watcher | None = None) -> list[Tensor]:
        """Class ids (H, W) for each image of an evaluation batch, at its labels' size."""
        sizes = [tuple(label.shape[-2:]) for label in batch["label"]]
        return self.inference.labels(self.network, batch["image"], sizes, watch=watch)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Tensor]]:
        """`labels`: what was found in each image, (H, W), for callbacks with scores of theirs."""
        found = self.predicted_labels(batch)
        self.metric.update(
            torch.cat([labels.flatten() for labels in found]),
            torch.cat([labels.flatten() for labels in batch["label"]]),
        )
        return {"labels": found}

    def on_validation_epoch_start(self) -> None:
        # Here and not at the end, so that callbacks may still ask for the per-class figures.
        self.metric.reset()

    def on_validation_epoch_end(self) -> None:
        self.log_scores("val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Tensor]]:
        return self.validation_step(batch, batch_idx)

    def on_test_epoch_start(self) -> None:
        self.metric.reset()

    def on_test_epoch_end(self) -> None:
        self.log_scores("test")

    def log_scores(self, stage: str) -> None:
        """Logs `figures` of an evaluation that has ended, as `<stage>/<name>`."""
        scores = self.metric.compute()
        figures = scores.summary() | scores.group_mious(self.class_groups)
        # Summed over processes already; averaging equal numbers changes nothing, but says so.
        values = {f"{stage}/{name}": value.float() for name, value in figures.items()}
        self.log_dict(values, sync_dist=True)
