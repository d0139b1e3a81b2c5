"""What a finished run tells its loggers: the metrics of its record, its tables and its plots."""

import csv
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.loggers import Logger

from segsuite.engine.loggers.opened import show_image

log = logging.getLogger(__name__)

CLASSES = "classes.csv"
MOST_CLASSES = 200
"""Classes whose IoU is logged by itself; their table has all of them."""
MOST_ROWS = 10_000
"""Of a table: what W&B shows."""
_OF_LOGGERS = "metrics.csv"
_PREFIX = "iou/"


class Table(NamedTuple):
    """Rows of numbers, text and None, each as long as there are columns."""

    columns: list[str]
    rows: list[list[Any]]


def log_result(
    loggers: Iterable[Logger],
    record: Mapping[str, Any],
    folder: Path,
    *,
    step: int = 0,
    known: Collection[str] = (),
) -> None:
    """Shows every logger what a run has found.

    Args:
        record: the record of results, as plain types.
        folder: folder of the run. Its plots (PNG) and tables (CSV) are shown too, where a logger
            can, as `plots/<name>` and `tables/<name>`.
        step: iteration that all of it belongs to.
        known: names of metrics that were logged before.
    """
    new = {name: value for name, value in scalars(record, folder).items() if name not in known}
    plots = {path.stem: path for path in sorted(folder.glob("*.png"))}
    for logger in loggers:
        if new:
            logger.log_metrics(new, step=step)
        for name, path in plots.items():
            show_image(logger, f"plots/{name}", path, step)
        if hasattr(logger, "log_record"):  # wandb
            logger.log_record(record, tables(record, folder))


def scalars(record: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """What runs are compared by: the metrics of a record's one entry, and `iou/<class>`.

    Metrics of several entries, as of networks side by side, are a table and no scalars.
    """
    entries = record["entries"]
    metrics = entries[0]["metrics"] if len(entries) == 1 else {}
    found = {name: metric["value"] for name, metric in metrics.items()}
    found |= class_scores(folder / CLASSES)
    return {name: float(value) for name, value in found.items() if value is not None}


def class_scores(path: Path) -> dict[str, float]:
    """The IoU of each class that a file `classes.csv` has, as `iou/<class>`, by falling pixels.

    Of more than `MOST_CLASSES` those with the most pixels, which are the same ones for all runs
    on the same images.
    """
    table = read_table(path)
    if not {"class", "iou", "pixels"} <= {*table.columns}:
        return {}  # another task's
    name, iou, pixels = (table.columns.index(column) for column in ("class", "iou", "pixels"))
    present = [row for row in table.rows if row[iou] is not None]
    present.sort(key=lambda row: -(row[pixels] or 0))
    if len(present) > MOST_CLASSES:
        log.info(
            "of %s classes the %s with the most pixels have an iou/<class> in the loggers; %s has "
            "all of them",
            *(len(present), MOST_CLASSES, path),
        )
    return {f"{_PREFIX}{row[name]}": row[iou] for row in present[:MOST_CLASSES]}


def is_class_score(name: str) -> bool:
    """Whether a metric of that name is the IoU of one class."""
    return name.startswith(_PREFIX)


def tables(record: Mapping[str, Any], folder: Path) -> dict[str, Table]:
    """The entries of a record as `record`, and each CSV file of a run's folder by its name."""
    files = [path for path in sorted(folder.glob("*.csv")) if path.name != _OF_LOGGERS]
    return {"record": entries_table(record["entries"])} | {f.stem: read_table(f) for f in files}


def entries_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """One row per entry: its name, settings and metrics; bounds only of what was repeated."""
    rows = []
    for entry in entries[:MOST_ROWS]:
        row = {"name": entry["name"]}
        row |= {key: _plain(value) for key, value in entry["settings"].items()}
        for name, metric in entry["metrics"].items():
            row[name] = metric["value"]
            bounds = {f"{name} ({end})": metric[end] for end in ("low", "high")}
            row |= {key: value for key, value in bounds.items() if value is not None}
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["name"]
    return Table(columns, [[row.get(column) for column in columns] for row in rows])


def read_table(path: Path) -> Table:
    """A CSV file; columns of numbers as numbers. One that is not there has no columns."""
    if not path.exists():
        return Table([], [])
    with open(path, newline="") as handle:
        header, *rows = [*islice(csv.reader(handle), MOST_ROWS + 2)] or [[]]
    if len(rows) > MOST_ROWS:
        log.info("%s: loggers get the first %s rows of its table", path, f"{MOST_ROWS:,}")
    cells = zip_longest(header, *rows[:MOST_ROWS], fillvalue="")
    columns = [(name, _numbers(column)) for name, *column in cells]
    names = [name for name, _ in columns]
    return Table(names, [list(row) for row in zip(*(column for _, column in columns), strict=True)])


def _numbers(column: Sequence[str]) -> Sequence[Any]:
    """The cells of a column: numbers where all of them are, None for those without content."""
    try:
        return [float(cell) if cell else None for cell in column]
    except ValueError:
        return [cell or None for cell in column]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
