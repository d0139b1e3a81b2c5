"""The records of many runs, and each as rows of a table."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segsuite.core.errors import ConfigError
from segsuite.core.results import Entry, Record, read

log = logging.getLogger(__name__)

NAMES = ("result.json", "sweep.json")
"""The files that hold records: of a run's folder, and of a sweep's."""


def found(*paths: str | Path) -> Iterator[tuple[Path, Record]]:
    """The records in those files and anywhere below those folders, each once, in their order.

    A file that holds none, as that of a damaged or an older run, is skipped, and a warning says so.

    Raises:
        ConfigError: one of the paths is not there.
    """
    seen: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise ConfigError(f"there is no {path}; give folders of runs, such as logs/train")
        files = [path] if path.is_file() else sorted(f for n in NAMES for f in path.rglob(n))
        if not files:
            log.warning("%s holds no %s", path, " and no ".join(NAMES))
        for file in files:
            if (place := file.resolve()) in seen:
                continue
            seen.add(place)
            try:
                record = read(file)
            except ConfigError as error:
                log.warning("left out: %s", error)
                continue
            yield file, record


def rows(record: Record, source: str | Path | None = None) -> list[dict[str, Any]]:
    """One flat row for each entry of a record.

    Columns: the kind of record, the names of run and entry; the entry's settings, and where it is
    the only one, what was typed; its metrics, and bounds as `NAME.low` and `NAME.high` where it was
    measured repeatedly; paths of its files; processor or GPU, threads, and commit.

    Args:
        source: the file that the record is of, for the last column.
    """
    return [_row(record, entry, source) for entry in record.entries]


def _row(record: Record, entry: Entry, source: str | Path | None) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": record.kind, "run": record.name, "name": entry.name}
    _add(row, entry.settings, "settings")
    if len(record.entries) == 1:
        typed = (override.lstrip("+~").partition("=") for override in record.config)
        _add(row, {key: value for key, _, value in typed}, "typed")
    for name, metric in entry.metrics.items():
        bounds = {f"{name}.low": metric.low, f"{name}.high": metric.high}
        measured = {k: v for k, v in bounds.items() if v is not None}
        _add(row, {name: metric.value, **measured}, "metrics")
    _add(row, entry.artefacts, "files")
    machine, commit = record.machine, record.commit or {}
    _add(row, {"machine": machine.get("gpu") or machine.get("processor")}, "under")
    _add(row, {"threads": machine.get("threads"), "commit": commit.get("commit")}, "under")
    return row | ({} if source is None else {"record": str(source)})


def _add(row: dict[str, Any], columns: Any, kind: str) -> None:
    """Adds columns; one whose name is taken gets its kind before it, so that none is lost."""
    for name, value in columns.items():
        row[name if name not in row else f"{kind}.{name}"] = value
