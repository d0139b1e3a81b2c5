"""What a task computes of predictions and labels, and which of it is the headline."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console
from torch import Tensor, nn

from segsuite.data.class_table import ClassTable
from segsuite.engine.callbacks.table import (
    class_table,
    headline,
    write_classes,
    write_confusion,
)
from segsuite.metrics.confusion import ConfusionMatrix
from segsuite.metrics.iou import SUMMARY, MeanIoU


class Evaluator(nn.Module, ABC):
    """The metrics of a task, over a whole split and over any number of processes.

    A config gives one to a task as `method.task.evaluator`, with `_partial_: true`: the task itself
    adds `classes`, the class table of the data.

    Attributes:
        headline: the metric that the task is about. By it the best checkpoint is chosen and a
            sweeper is answered, unless others are typed.
        higher_is_better: whether a higher headline is a better one.
    """

    headline: ClassVar[str]
    higher_is_better: ClassVar[bool] = True

    @property
    @abstractmethod
    def metric_names(self) -> tuple[str, ...]:
        """The keys of what `compute` gives."""

    @abstractmethod
    def reset(self) -> None:
        """Forgets everything, before an evaluation."""

    @abstractmethod
    def update(self, predictions: Sequence[Any], batch: Any) -> None:
        """Takes in the predictions for an evaluation batch, one for each image.

        Benchmarks and exports give `label` alone of a batch.
        """

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Scalars by name, summed over all processes, all of which must call it."""

    def line(self) -> str:
        """The headline, and what belongs beside it, in one line for people."""
        return ", ".join(f"{name} {float(value):.4g}" for name, value in self.compute().items())

    def show(self, console: Console, *, title: str, most: int) -> None:
        """Prints a table at the end, where there is more to show than the line.

        Args:
            most: about how many rows it may have.
        """

    def write(self, folder: Path) -> None:
        """Writes what belongs into the run's folder."""


class SemanticEvaluator(Evaluator):
    """mIoU and its kin, per class and per group of classes.

    Args:
        classes: classes of the data; their groups, if they have any, get an mIoU each.
        confusion: number of classes up to which it also counts which is taken for which.

    Attributes:
        counted: what has a class, as tables call it.
    """

    headline = "miou"
    counted: ClassVar[str] = "pixels"

    def __init__(self, *, classes: ClassTable, confusion: int = 200) -> None:
        super().__init__()
        self.class_names, self.class_groups = tuple(classes.names), tuple(classes.groups)
        number = len(self.class_names)
        self.metric = MeanIoU(num_classes=number)
        self.confusion = ConfusionMatrix(num_classes=number) if number <= confusion else None

    @property
    def metric_names(self) -> tuple[str, ...]:
        groups = dict.fromkeys(self.class_groups)
        return (*SUMMARY, *(f"miou_{group}" for group in groups))

    def reset(self) -> None:
        for metric in self._metrics():
            metric.reset()

    def update(self, predictions: Sequence[Tensor], batch: Any) -> None:
        """Counts pixels; predictions and labels are (H, W) class ids, one of each per image."""
        self.count(
            torch.cat([labels.flatten() for labels in predictions]),
            torch.cat([labels.flatten() for labels in batch["label"]]),
        )

    def count(self, predicted: Tensor, labelled: Tensor) -> None:
        """Takes in class ids, (N,) each."""
        for metric in self._metrics():
            metric.update(predicted, labelled)

    def compute(self) -> dict[str, Tensor]:
        # All of them, since all processes are here: the first one alone writes them later.
        scores, *_ = [metric.compute() for metric in self._metrics()]
        return scores.summary() | scores.group_mious(self.class_groups)

    def line(self) -> str:
        return headline(self.metric.compute(), self.class_groups, counted=self.counted)

    def show(self, console: Console, *, title: str, most: int) -> None:
        names, groups = self.class_names, self.class_groups
        kind = {"most": most, "title": title, "counted": self.counted}
        console.print(class_table(self.metric.compute(), names, groups, **kind))

    def write(self, folder: Path) -> None:
        """Writes `classes.csv`, and `confusion.csv` where it was counted."""
        scores = self.metric.compute()
        write_classes(folder / "classes.csv", scores, self.class_names, self.class_groups)
        if self.confusion is not None:
            write_confusion(folder / "confusion.csv", self.confusion.compute(), self.class_names)

    def _metrics(self) -> list[MeanIoU | ConfusionMatrix]:
        return [self.metric, *([] if self.confusion is None else [self.confusion])]
