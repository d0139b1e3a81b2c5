"""The scores of panoptic maps: panoptic quality, instance AP, and mIoU of the classes alone."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from segsuite.core.files import written_whole
from segsuite.data.class_table import ClassTable
from segsuite.engine.callbacks.table import percent
from segsuite.engine.evaluators import Evaluator, SemanticEvaluator
from segsuite.metrics.instance_ap import InstanceAP
from segsuite.metrics.panoptic_quality import PanopticQuality
from segsuite.nn.grouping import PanopticMap

_QUALITIES = tuple(
    f"{name}{group}" for group in ("", "_things", "_stuff") for name in ("pq", "sq", "rq")
)
_ROWS = ("pq", "sq", "rq", "tp", "fp", "fn", "ap", "ap50")


class PanopticEvaluator(Evaluator):
    """Panoptic quality by the official rules, instance AP by Cityscapes', and mIoU.

    Args:
        ap: whether instance AP is computed too.
    """

    headline: ClassVar[str] = "pq"

    def __init__(self, *, classes: ClassTable, ap: bool = True) -> None:
        super().__init__()
        kind = {"num_classes": len(classes), "things": classes.things}
        self.class_names = tuple(classes.names)
        self.quality = PanopticQuality(**kind)
        self.ap = InstanceAP(**kind) if ap else None
        self.semantic = SemanticEvaluator(classes=classes)

    @property
    def metric_names(self) -> tuple[str, ...]:
        return (*_QUALITIES, *(("ap", "ap50") if self.ap else ()), *self.semantic.metric_names)

    def reset(self) -> None:
        for metric in (self.quality, self.ap, self.semantic):
            if metric is not None:
                metric.reset()

    def update(self, predictions: Sequence[PanopticMap], batch: Any) -> None:
        """Counts the segments, instances and pixels of a batch that has `label`, `instances`."""
        self.semantic.update([one.semantic for one in predictions], batch)
        truths = zip(batch["label"], batch["instances"], strict=True)
        for one, (label, instances) in zip(predictions, truths, strict=True):
            self.quality.update(one.labels, one.instances, label, instances)
            if self.ap is not None:
                self.ap.update(one.instances, *one.table, label, instances)

    def compute(self) -> dict[str, Tensor]:
        # All of them, since all processes are here: the first one alone writes them later.
        scores = self.quality.compute().summary()
        if self.ap is not None:
            scores |= self.ap.compute().summary()
        return scores | self.semantic.compute()

    def line(self) -> str:
        found = self.compute()
        parts = [
            f"{name} {percent(found[key])} %"
            for name, key in (
                ("PQ", "pq"),
                ("of things", "pq_things"),
                ("of stuff", "pq_stuff"),
                ("SQ", "sq"),
                ("RQ", "rq"),
                ("AP", "ap"),
            )
            if key in found
        ]
        return f"{', '.join(parts)}; {self.semantic.line()}"

    def show(self, console: Console, *, title: str, most: int) -> None:
        rows = self._rows()
        order = sorted(rows, key=lambda name: -rows[name]["pq"])
        shown = _ROWS if self.ap is not None else _ROWS[:6]
        table = Table("class", *(name.upper() for name in shown))
        table.title = title
        for column in table.columns[1:]:
            column.justify = "right"
        for place, name in enumerate(order):
            if len(order) > most and most // 2 <= place < len(order) - most // 2:
                if place == most // 2:
                    table.add_row(f"... {len(order) - 2 * (most // 2)} more ...")
                continue
            table.add_row(escape(name), *map(_shown, rows[name].values()))
        console.print(table)

    def write(self, folder: Path) -> None:
        """Writes `panoptic.csv`, and what `SemanticEvaluator` writes."""
        self.semantic.write(folder)
        rows = self._rows()
        with (
            written_whole(folder / "panoptic.csv") as beside,
            open(beside, "w", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["class", *next(iter(rows.values()), {})])
            writer.writerows([name, *row.values()] for name, row in rows.items())

    def _rows(self) -> dict[str, dict[str, float | int]]:
        """What is known of each class that is there or was predicted."""
        scores = self.quality.compute()
        columns = {name: getattr(scores, name) for name in _ROWS[:6]}
        if self.ap is not None:
            columns |= self.ap.compute()._asdict()
        present = (~scores.pq.isnan()).nonzero().flatten().tolist()
        return {
            self.class_names[i]: {name: column[i].item() for name, column in columns.items()}
            for i in present
        }


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else percent(value)
