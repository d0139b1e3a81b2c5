"""Metrics for people: a line at each validation, a table per class at the end."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from segsuite.core.files import written_whole
from segsuite.core.hints import Between
from segsuite.metrics.iou import SegmentationScores


class ClassTableReport(Callback):
    """Prints a line at each validation, and at the end what the task's evaluator has to show.

    Args:
        folder: where the evaluator writes, such as `classes.csv`.
        most: number of classes above which only the best and the worst are printed.
    """

    def __init__(self, *, folder: str, most: Annotated[int, Between(2)] = 40) -> None:
        self.folder, self.most = Path(folder), most

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        evaluator = pl_module.evaluator
        line = evaluator.line()  # all processes ask, since metrics are summed over them
        if not trainer.is_global_zero:
            return
        if not is_final(trainer):
            print(f"iteration {trainer.global_step}: {line}", file=sys.stderr)
            return
        split = trainer.state.fn
        if split == "test":
            split = getattr(trainer.datamodule, "test_split", split)
        title = "per class" if split == "test" else "per class, of the validation images"
        evaluator.show(Console(), title=title, most=self.most)
        print(line, flush=True)
        evaluator.write(self.folder)

    on_test_end = on_validation_end


def is_final(trainer: Trainer) -> bool:
    """Whether an evaluation is what was asked for, and not a validation that a training makes.

    A training that was stopped in its last validation makes it up before its final evaluation.
    """
    return trainer.state.fn == "test" or not (
        trainer.state.fn == "fit" or trainer.checkpoint_callbacks
    )


def headline(
    scores: SegmentationScores, groups: Sequence[str] = (), *, counted: str = "pixels"
) -> str:
    """The main metrics in one line, in per cent; those of groups of classes behind.

    Args:
        counted: what the scores count.
    """
    by_group = scores.group_mious(groups).items()
    apart = [f"{name.removeprefix('miou_')} {percent(value)} %" for name, value in by_group]
    unit = counted.removesuffix("s")
    return (
        f"mIoU {percent(scores.miou)} % (always answering the commonest class: "
        f"{percent(scores.baseline_miou)} %), {unit} accuracy {percent(scores.pacc)} %, "
        f"frequency-weighted IoU {percent(scores.fwiou)} %"
    ) + (f"; mIoU by group: {', '.join(apart)}" if apart else "")


def class_table(
    scores: SegmentationScores,
    names: Sequence[str],
    groups: Sequence[str] = (),
    *,
    most: int = 40,
    title: str = "per class",
    counted: str = "pixels",
) -> Table:
    """Classes by falling IoU; absent ones are left out.

    Args:
        counted: what the scores count.
        groups: the group of each class; none for a table without that column.
    """
    share = scores.pixels.double() / scores.pixels.sum()
    present = [i for i, absent in enumerate(scores.iou.isnan().tolist()) if not absent]
    order = sorted(present, key=lambda i: -float(scores.iou[i]))
    table = Table("class", "IoU %", "accuracy %", f"share of {counted} %", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    if groups:
        table.add_column("group")
    for place, i in enumerate(order):
        if len(order) > most and most // 2 <= place < len(order) - most // 2:
            if place == most // 2:
                table.add_row(f"... {len(order) - 2 * (most // 2)} more ...", "", "", "")
            continue
        row = (scores.iou[i], scores.accuracy[i], share[i])
        table.add_row(escape(names[i]), *map(percent, row), *map(escape, groups[i : i + 1]))
    return table


def write_classes(
    path: Path, scores: SegmentationScores, names: Sequence[str], groups: Sequence[str] = ()
) -> None:
    """A CSV file with one row per class, absent classes with empty metrics."""
    columns = {
        "class": names,
        "iou": map(_cell, scores.iou.tolist()),
        "accuracy": map(_cell, scores.accuracy.tolist()),
        "pixels": scores.pixels.tolist(),
        **({"group": groups} if groups else {}),
    }
    with written_whole(path) as beside, open(beside, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_confusion(path: Path, counts: Tensor, names: Sequence[str]) -> None:
    """A CSV file with a row per class of the labels and a column per predicted class, in pixels.

    Shapes: counts (K, K)
    """
    with written_whole(path) as beside, open(beside, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["labelled as", *names])
        writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))


def percent(value: float) -> str:
    """As tables show it: a dash for what is undefined."""
    number = float(value) * 100
    return "-" if number != number else f"{number:.2f}"


def _cell(value: float) -> float | str:
    return "" if value != value else value
