"""Training and evaluation of a network: what all tasks share, and the semantic one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning import Callback, LightningModule
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segsuite.core.arguments import with_arguments_of
from segsuite.core.errors import ConfigError, raised_in
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Batch
from segsuite.engine.callbacks.panels import Panel
from segsuite.engine.distillation import Distillation
from segsuite.engine.evaluators import Evaluator, SemanticEvaluator
from segsuite.engine.inference.modes import Inference, Watcher
from segsuite.engine.launch.settings import HEADLINE
from segsuite.engine.optim import fused_on_cpu, parameter_groups, scale_learning_rates
from segsuite.nn.segmenter import Segmenter

Loss = Callable[[Any, Tensor], dict[str, Tensor]]
"""From a network's output and labels (B, H, W) to scalar losses by name, already weighted."""


class BaseTask(LightningModule, ABC):
    """Trains and scores a network. A kind of task says by `predictions` what its network answers,
    and brings the evaluator that scores it; one whose loss needs more than labels overrides
    `losses`, and adds to what super().losses(batch) gives; one whose network sees more than images
    overrides `seen`.

    Logs `train/loss`, `train/<name>` for each loss, and the evaluator's metrics as `val/<name>` or
    `test/<name>`.

    Args:
        network: the network that is trained.
        classes: the classes of the data, for tables and images.
        inference: how images of any size are segmented.
        loss: computes the losses, by name, of the network's output and the labels; may have a
            `check_classes`, which is given their number and raises ConfigError where they do not
            fit, and `callbacks`, those of a training that watch it.
        optimizer: makes the optimiser; takes parameter groups.
        schedule: makes the schedule; takes the optimiser and `max_steps`. It is stepped after every
            iteration.
        evaluator: computes the metrics of predictions and labels.
        groups: rules of `engine.optim.parameter_groups`, on names such as `backbone.pos_embed`.

    Attributes:
        classifies_pixels: whether it answers with a class of the data for each pixel.
        trains_all_weights: whether each iteration has a gradient for every weight that is trained.
        needs_instances: whether batches must hold instance ids.
    """

    classifies_pixels = False
    trains_all_weights = True
    needs_instances = False

    def __init__(
        self,
        *,
        network: Any,
        classes: ClassTable,
        inference: Inference,
        loss: Loss,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        evaluator: Evaluator,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__()
        if evaluator.headline not in evaluator.metric_names:
            raise ConfigError(
                f"{type(evaluator).__name__} has the headline `{evaluator.headline}`, which is "
                f"none of its metrics: {', '.join(evaluator.metric_names)}"
            )
        if callable(check := getattr(loss, "check_classes", None)):
            check(len(classes))  # before hours are spent on the way to the first batch
        self.network = network
        self.classes = classes
        self.inference = inference
        self.loss = loss
        self.evaluator = evaluator
        self._optimizer = optimizer
        self._schedule = schedule
        self._groups = groups

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What is logged of each evaluation, behind `val/` or `test/`."""
        return self.evaluator.metric_names

    def resolved(self, metric: str | None) -> str | None:
        """`val/headline` as the metric that it stands for here, such as `val/miou`."""
        stage, _, name = (metric or "").partition("/")
        return f"{stage}/{self.evaluator.headline}" if name == HEADLINE else metric

    def find_teacher(self, classes: ClassTable, size: Size, *, allow: tuple[str, ...]) -> None:
        """Loads the network that teaches this one, if the task knows of such; see `Distillation`.

        Args:
            classes: classes of the data.
            size: size of the crops in training.
            allow: import prefixes that the user trusts.

        Raises:
            ConfigError: the two do not match.
            CheckpointError: the teacher cannot be read, or was trained for other classes.
        """

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses by name, already weighted: their sum is what is minimised."""
        return self.loss(self.network(self.seen(batch)), batch["label"])

    def check_losses(self, losses: Mapping[str, Tensor]) -> None:
        """Raises ConfigError where a setting of the task left no trace in its losses."""

    def seen(self, batch: Batch) -> Tensor:
        """What the network sees of a training batch: (B, 3, H, W), its images."""
        return batch["image"]

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """`loss`: what is minimised; `losses`: its parts by name, for callbacks."""
        losses = self.losses(batch)
        self.check_losses(losses)
        total = torch.stack(list(losses.values())).sum()
        size = len(batch["id"])
        self.log_dict({f"train/{n}": v.detach() for n, v in losses.items()}, batch_size=size)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=size)
        return {"loss": total, "losses": {name: loss.detach() for name, loss in losses.items()}}

    def configure_callbacks(self) -> list[Callback]:
        """What Lightning adds to the trainer's callbacks: those of a loss that has some."""
        of_loss = getattr(self.loss, "callbacks", None)
        return of_loss() if callable(of_loss) else []

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer, schedule = self.optimisation(max_steps=self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimisation(self, *, max_steps: int) -> tuple[Optimizer, LRScheduler]:
        """An optimiser of the network's parameters and its schedule.

        Raises:
            ConfigError: a group fits no parameter, or a value that the optimiser refuses.
        """
        named = [(n.removeprefix("network."), p) for n, p in self.named_parameters()]
        groups = parameter_groups(named, self._groups)
        try:
            optimizer = fused_on_cpu(scale_learning_rates(self._optimizer(groups)))
            schedule = self._schedule(optimizer, max_steps=max_steps)
        except (TypeError, ValueError) as error:  # of torch's: "Invalid learning rate: -1"
            if not raised_in(error, "torch."):
                raise
            raise ConfigError(f"method.optimizer or its groups: {error}") from error
        return optimizer, schedule

    def panels(self, batch: Batch) -> Sequence[Panel]:
        """What pictures of one image show beside truth and prediction; `batch` holds that image."""
        del batch
        return ()

    @abstractmethod
    def predictions(self, batch: Batch) -> Sequence[Any]:
        """What the network answers for each image of an evaluation batch, for the evaluator."""

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Sequence[Any]]:
        """`predictions`: what was predicted for each image, for callbacks."""
        predictions = self.predictions(batch)
        self.evaluator.update(predictions, batch)
        return {"predictions": predictions}

    def on_validation_epoch_start(self) -> None:
        # Here and not at the end, so that callbacks may still ask for what stands behind a metric.
        self.evaluator.reset()

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Sequence[Any]]:
        return self.validation_step(batch, batch_idx)

    on_test_epoch_start = on_validation_epoch_start

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _log_metrics(self, stage: str) -> None:
        # Summed over processes already; averaging equal numbers changes nothing, but says so.
        metrics = self.evaluator.compute().items()
        self.log_dict({f"{stage}/{n}": value.float() for n, value in metrics}, sync_dist=True)


class SegmentationTask(BaseTask):
    """Semantic segmentation: one class for each pixel, scored by mIoU unless told otherwise.

    Args:
        evaluator: makes the evaluator of `classes`; None is `SemanticEvaluator`.
        distillation: loss that a teacher adds beside the method's own; None for none.
    """

    classifies_pixels = True

    @with_arguments_of(BaseTask)
    def __init__(
        self,
        *,
        network: Segmenter,
        classes: ClassTable,
        evaluator: Callable[..., Evaluator] | None = None,
        distillation: Distillation | None = None,
        **common: Any,
    ) -> None:
        scores = (evaluator or SemanticEvaluator)(classes=classes)
        super().__init__(network=network, classes=classes, evaluator=scores, **common)
        self.distillation = distillation or Distillation()

    def find_teacher(self, classes: ClassTable, size: Size, *, allow: tuple[str, ...]) -> None:
        self.distillation.begin(self.network, classes, size, allow=allow)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses by name, already weighted: their sum is what is minimised."""
        output = self.network(self.seen(batch))
        taught = self.distillation.losses(self.network, output, batch)
        return {**self.loss(output, batch["label"]), **taught}

    def check_losses(self, losses: Mapping[str, Tensor]) -> None:
        if self.distillation.source is not None and "distillation" not in losses:
            raise ConfigError(
                f"method.distillation.teacher changes nothing: {type(self).__name__} makes its "
                "losses without it; let them be added to those of super().losses(batch)"
            )

    def predictions(self, batch: Batch) -> list[Tensor]:
        return self.predicted_labels(batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Sequence[Any]]:
        """`labels`: class ids (H, W) of each image, for callbacks with scores of theirs."""
        return {"labels": super().validation_step(batch, batch_idx)["predictions"]}

    def predicted_labels(self, batch: Batch, *, watch: Watcher | None = None) -> list[Tensor]:
        """Class ids (H, W) for each image of an evaluation batch, at its labels' size."""
        sizes = [tuple(label.shape[-2:]) for label in batch["label"]]
        return self.inference.labels(self.network, batch["image"], sizes, watch=watch)
