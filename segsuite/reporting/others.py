"""Benchmarks, exports, evaluations, searches and choices, each as a table of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segsuite.core.results import Entry, Metric, Record
from segsuite.reporting.costs import machine_name
from segsuite.reporting.settings import text

_TITLES = {
    "speed": "benchmark of speed",
    "runtimes": "benchmark of runtimes",
    "memory": "benchmark of training memory",
    "losses": "benchmark of losses",
}


@dataclass(frozen=True)
class Table:
    """What one start of an entry point found.

    Attributes:
        kind: the entry point or probe.
        where: folder of the run.
        machine: what it was measured on.
        settings: columns of text, by name in `rows`.
        metrics: columns of numbers, by name in `rows`.
        rows: by column; a metric that was repeated has `low` and `high`.
    """

    title: str
    kind: str
    where: Path
    machine: str
    settings: Sequence[str]
    metrics: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = field(default_factory=list)


def tables(records: Mapping[Path, Record]) -> list[Table]:
    """One table for each record that is not of a training, in the order of their kinds."""
    others = [(folder, record) for folder, record in records.items() if record.kind != "train"]
    order = sorted(others, key=lambda item: (item[1].kind, str(item[0])))
    return [_table(folder, record) for folder, record in order if record.entries]


def _table(folder: Path, record: Record) -> Table:
    settings = dict.fromkeys(key for entry in record.entries for key in entry.settings)
    metrics = dict.fromkeys(name for entry in record.entries for name in entry.metrics)
    kind = record.kind
    return Table(
        title=f"{_TITLES.get(kind, kind.replace('_', ' '))}: {record.name}",
        kind=kind,
        where=folder,
        machine=machine_name(record),
        settings=list(settings),
        metrics=list(metrics),
        rows=[_row(entry) for entry in record.entries],
    )


def _row(entry: Entry) -> dict[str, Any]:
    shown = {key: text(value) for key, value in entry.settings.items()}
    return {
        "name": entry.name,
        "settings": shown,
        "metrics": {name: _number(metric) for name, metric in entry.metrics.items()},
        "files": {kind: str(path) for kind, path in entry.artefacts.items()},
    }


def _number(metric: Metric) -> list[float | None]:
    """The value and its bounds."""
    return [metric.value, metric.low, metric.high]
