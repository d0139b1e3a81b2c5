"""Cityscapes' scores and submission while a network is validated or tested."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.files import write_json
from segsuite.data.class_table import ClassTable
from segsuite.data.submission import CityscapesSubmission
from segsuite.engine.callbacks.table import is_final, percent
from segsuite.engine.inference.answers import Answer
from segsuite.engine.inference.cityscapes_files import CityscapesFiles
from segsuite.metrics.cityscapes import CityscapesIoU, CityscapesScores

_WITHOUT = "iIoU needs instance ids; type data.instances=true"


class _AtEvaluation(Callback):
    """A callback that sees every evaluated batch with its predictions, in validation and test."""

    def begin(self, pl_module: LightningModule) -> None: ...

    def take(self, outputs: Any, batch: Any, pl_module: LightningModule) -> None: ...

    def finish(self, pl_module: LightningModule, stage: str) -> None: ...

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.check_task(pl_module)

    def check_task(self, pl_module: LightningModule) -> None:
        """Raises ConfigError for a task that gives no class for each pixel."""
        if not getattr(pl_module, "classifies_pixels", False):
            raise ConfigError(
                f"{type(pl_module).__name__} gives no classes of pixels, which Cityscapes' scores "
                "and submission need; leave callbacks=cityscapes, scores and submission out "
                "(a task of your own that gives them says so: classifies_pixels = True)"
            )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin(pl_module)

    on_test_start = on_validation_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self.take(outputs, batch, pl_module)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.finish(pl_module, "test" if trainer.testing else "val")

    on_test_epoch_end = on_validation_epoch_end


class CityscapesReport(_AtEvaluation):
    """Logs class_iou and category_iou, and where instances are read class_iiou and category_iiou.

    Prints a table and writes it to `cityscapes.json`, unless a training goes on.

    Args:
        folder: where the file goes.
        categories: the names of each category's classes; together all that the network has.
        average_sizes: pixels of an average instance, by class; classes left out have no instances.
    """

    logged_metrics = ("class_iou", "category_iou", "class_iiou", "category_iiou")
    reads_instances = True

    def __init__(
        self,
        *,
        folder: str,
        categories: Mapping[str, Sequence[str]],
        average_sizes: Mapping[str, float],
    ) -> None:
        self.folder = Path(folder)
        self.categories = {name: tuple(members) for name, members in categories.items()}
        self.average_sizes = dict(average_sizes)
        self._metric: CityscapesIoU | None = None

    def begin(self, pl_module: LightningModule) -> None:
        if self._metric is None:
            self._metric = self.metric(pl_module.classes)
        self._metric.to(pl_module.device).reset()

    def metric(self, classes: ClassTable) -> CityscapesIoU:
        """The metric for these classes.

        Raises:
            ConfigError: a class without a category, or named here and not in the table.
        """
        number = {n: i for i, names in enumerate(self.categories.values()) for n in names}
        apart = sorted(set(number) ^ set(classes.names))
        if apart:
            where = "is in no category of" if apart[0] in classes.names else "is only in"
            raise ConfigError(
                f"the class `{apart[0]}` {where} scores.categories, which must name all classes "
                "of the network, once"
            )
        return CityscapesIoU(
            ids=classes.ids,
            categories=[number[name] for name in classes.names],
            sizes=[self.average_sizes.get(name, 0.0) for name in classes.names],
        )

    def take(self, outputs: Any, batch: Any, pl_module: LightningModule) -> None:
        labels = outputs["labels"]
        instances = batch.get("instances", [None] * len(labels))
        for predicted, label, instance_map in zip(labels, batch["label"], instances, strict=True):
            self._metric.update(predicted, label, instance_map)

    def finish(self, pl_module: LightningModule, stage: str) -> None:
        scores = self._metric.compute()  # summed over processes
        means = scores.summary()
        values = {f"{stage}/{name}": value.float() for name, value in means.items()}
        pl_module.log_dict(values, sync_dist=True)
        trainer = pl_module.trainer
        if not is_final(trainer) or not trainer.is_global_zero:
            return
        names, categories = pl_module.classes.names, tuple(self.categories)
        Console().print(scores_table(scores, names, categories))
        if not scores.with_instances:
            print(_WITHOUT, file=sys.stderr)
        content = {
            "means": {name: float(value) for name, value in means.items()},
            "classes": _rows(names, scores.iou, scores.iiou),
            "categories": _rows(categories, scores.category_iou, scores.category_iiou),
        }
        write_json(self.folder / "cityscapes.json", content)


class SubmissionFiles(_AtEvaluation):
    """Writes what was predicted for each image, in the form that the benchmark's server takes.

    Of tasks that need instances, and so give `segments` beside `labels`, the files of these too, in
    folders beside.

    Args:
        folder: where the files go; see `CityscapesFiles`.
        submission: how the files are written.
    """

    def __init__(self, *, folder: Path, submission: CityscapesSubmission) -> None:
        self.folder, self.submission = folder, submission
        self._files: CityscapesFiles | None = None

    def begin(self, pl_module: LightningModule) -> None:
        self._files = CityscapesFiles(
            self.folder,
            self.submission,
            trained=pl_module.classes,
            tells_apart=getattr(pl_module, "needs_instances", False),
        )

    def take(self, outputs: Any, batch: Any, pl_module: LightningModule) -> None:
        labels = outputs["labels"]
        segments = outputs.get("segments", [None] * len(labels))
        for sample, *predicted in zip(batch["id"], labels, segments, strict=True):
            self._files.write(sample, Answer(*predicted).cpu())

    def finish(self, pl_module: LightningModule, stage: str) -> None:
        self._files.finish()
        if pl_module.trainer.is_global_zero:
            folders = ", ".join(map(str, self._files.folders))
            print(f"predictions for submission: {folders}", flush=True)


def scores_table(
    scores: CityscapesScores, names: Sequence[str], categories: Sequence[str]
) -> Table:
    """Classes, then categories, each with its mean, in per cent."""
    table = Table("", "IoU %", "iIoU %", title="Cityscapes' scores")
    for column in table.columns[1:]:
        column.justify = "right"
    for rows, iou, iiou in (
        (names, scores.iou, scores.iiou),
        (categories, scores.category_iou, scores.category_iiou),
    ):
        for name, values in _rows(rows, iou, iiou).items():
            table.add_row(escape(name), *map(percent, values.values()))
        table.add_section()
        table.add_row("mean", percent(iou.nanmean()), percent(iiou.nanmean()), end_section=True)
    return table


def _rows(names: Sequence[str], iou: Tensor, iiou: Tensor) -> dict[str, dict[str, float]]:
    """Plain metrics by name, nan for those that are undefined; null in JSON."""
    pairs = zip(names, iou.tolist(), iiou.tolist(), strict=True)
    return {name: {"iou": one, "iiou": other} for name, one, other in pairs}
