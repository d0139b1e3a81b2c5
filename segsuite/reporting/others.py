"""Benchmarks, exports, evaluations, searches and choices, each as a table of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
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


def tables(records: Mapping[Path, Record]) -> list[Table]:
    """One table for each record that is not of a training, in the order of their kinds; evaluations
    of one machine, which have a row each, are one."""
    made: dict[tuple[str, ...], Table] = {}
    others = [(folder, record) for folder, record in records.items() if record.kind != "train"]
    for folder, record in sorted(others, key=lambda item: (item[1].kind, str(item[0]))):
        alone = record.kind != "evaluate"
        key = (record.kind, str(folder) if alone else machine_name(record))
        if record.entries:
            made[key] = _added(made.get(key), folder, record, alone=alone)
    return list(made.values())


def _added(table: Table | None, folder: Path, record: Record, *, alone: bool) -> Table:
    rows = [_row(entry, None if alone else folder) for entry in record.entries]
    rows = [*(table.rows if table else ()), *rows]
    title = _TITLES.get(record.kind, record.kind.replace("_", " "))
    return Table(
        title=f"{title}: {record.name}" if alone else "evaluations",
        kind=record.kind,
        where=table.where if table else folder,
        machine=machine_name(record),
        settings=list(dict.fromkeys(key for row in rows for key in row["settings"])),
        metrics=list(dict.fromkeys(name for row in rows for name in row["metrics"])),
        rows=rows,
    )


def _row(entry: Entry, folder: Path | None) -> dict[str, Any]:
    shown = {key: text(value) for key, value in entry.settings.items()}
    if folder is not None:
        if "checkpoint" in entry.artefacts:  # what tells evaluations of one network apart
            shown["checkpoint"] = _short(Path(entry.artefacts["checkpoint"]))
        shown["folder"] = str(folder)
    return {
        "name": entry.name,
        "settings": shown,
        "metrics": {name: _number(metric) for name, metric in entry.metrics.items()},
        "files": {kind: str(path) for kind, path in entry.artefacts.items()},
    }


def _short(path: Path) -> str:
    """A checkpoint by its run and file."""
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    return f"{run.name}/{path.stem}"


def _number(metric: Metric) -> list[float | None]:
    """The value and its bounds."""
    numbers = (metric.value, metric.low, metric.high)
    return [n if n is None or isfinite(n) else None for n in numbers]
