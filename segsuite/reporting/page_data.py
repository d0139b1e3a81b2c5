"""What the page shows, as plain types: its script makes tables and plots of it."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from segsuite.reporting.columns import Column, columns, mean, value
from segsuite.reporting.settings import text
from segsuite.reporting.summary import Summary
from segsuite.reporting.training import Training

_LONGEST = 300
"""Characters of a config's value that are shown."""


def page_data(summary: Summary, *, title: str, made: str, command: str) -> dict[str, Any]:
    """Everything on the page.

    Args:
        made: when.
        command: what made it.
    """
    shown = columns(summary)
    number = {training.name: place for place, training in enumerate(summary.trainings)}
    return {
        "title": title,
        "made": made,
        "command": command,
        "problems": summary.problems,
        "headline": summary.headline,
        "baseline": number.get(summary.baseline or ""),
        "columns": [asdict(column) for column in shown],
        "runs": [_run(summary, training, shown) for training in summary.trainings],
        "settings": [
            {
                "name": setting.name,
                "members": [number[name] for name in setting.members],
                "values": [_mean(summary, setting, column) for column in shown],
            }
            for setting in summary.settings
        ],
        "curves": {
            metric: {number[name]: _columns(curve) for name, curve in own.items()}
            for metric, own in summary.curves.items()
        },
        **_classes(summary, number),
        "images": [
            {
                "name": image.name,
                "given": [asdict(panel) for panel in image.given],
                "legend": None if image.legend is None else asdict(image.legend),
                "runs": {
                    number[n]: [asdict(p) for p in own] for n, own in image.predictions.items()
                },
            }
            for image in summary.images
        ],
        "differences": {
            "keys": summary.differences,
            "values": [
                [text(t.settings.get(key))[:_LONGEST] for key in summary.differences]
                for t in summary.trainings
            ],
        },
        "tables": [asdict(table) | {"where": str(table.where)} for table in summary.tables],
    }


def _run(summary: Summary, training: Training, shown: Sequence[Column]) -> dict[str, Any]:
    return {
        "name": training.name,
        "values": [_finite(value(summary, training, column)) for column in shown],
        "status": training.status,
        "seed": training.seed,
        "data": training.data,
        "folder": str(training.folder),
        "tested": training.tested,
        "paper": training.paper and training.paper[1],
        "machine": dict(training.machine),
        "commit": training.commit and dict(training.commit),
        "command": " ".join(training.command[1:]),
        "times": {
            one.where: [one.ms.value, one.ms.low, one.ms.high]
            for one in summary.times.get(training.name, [])
        },
    }


def _mean(summary: Summary, setting: Any, column: Column) -> list[Any]:
    found, deviation, count = mean(summary, setting, column)
    return [_finite(found), _finite(deviation), count]


def _finite(number: Any) -> Any:
    """JSON knows no nan."""
    return None if isinstance(number, float) and not isfinite(number) else number


def _columns(curve: Sequence[tuple[int, float]]) -> list[list[float]]:
    """Iterations, and values to five digits."""
    return [[step for step, _ in curve], [float(f"{number:.5g}") for _, number in curve]]


def _classes(summary: Summary, number: dict[str, int]) -> dict[str, Any]:
    """Class tables, each once; the scores of each training, and which table they are of."""
    tables: dict[tuple[str, ...], int] = {}
    scores = {}
    for name, own in summary.classes.items():
        table = tables.setdefault(own.names, len(tables))
        ious = [None if iou is None else float(f"{iou:.4g}") for iou in own.ious]
        scores[number[name]] = {"table": table, "ious": ious}
    confusions = {
        number[name]: {"names": own.names, "of1000": own.thousandths, "left_out": own.left_out}
        for name, own in summary.confusions.items()
    }
    return {"class_tables": list(tables), "classes": scores, "confusions": confusions}
