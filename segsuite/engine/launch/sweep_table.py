"""What a sweep ends with: a table of its jobs, also as `sweep.csv` and `sweep.json`."""

import csv
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from segsuite.core.errors import ConfigError, SegsuiteError
from segsuite.core.files import write_json, written_whole
from segsuite.core.results import Entry, Metric
from segsuite.engine.launch import folders
from segsuite.engine.launch.record import record_of

_begun: list[DictConfig] = []
"""The config of the sweep that this process has begun."""


class SweepTable(Callback):
    """Notes that a sweep begins. Hydra tells of its end only where no job has failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _begun.append(config)


def swept_noted(arguments: list[str]) -> list[str]:
    """The arguments of a sweep, and one that tells its jobs which keys have several values."""
    from segsuite.engine.launch.typed import read_override

    parsed = [read_override(a) for a in arguments if "=" in a and not a.startswith("-")]
    for of_sweep in (o for o in parsed if o is not None and o.key_or_group == "sweep"):
        if of_sweep.is_sweep_override():
            named = of_sweep.input_line.partition("=")[2]
            raise ConfigError(f"for both of them at once, type 'sweep=[{named}]'")
    swept = [f"'{o.key_or_group}'" for o in parsed if o is not None and o.is_sweep_override()]
    return [*arguments, f"run.swept=[{','.join(swept)}]"] if swept else arguments


class JobsFailed(SegsuiteError):
    """Jobs of a sweep have failed; the others have finished."""


@contextmanager
def ending_with_a_table() -> Iterator[None]:
    """Prints the table of the sweep that begins within the block, however the block ends.

    Raises:
        JobsFailed: some have not finished; with the log of each.
        SystemExit: of 130 after Ctrl-C.
    """
    try:
        yield
    finally:
        stopped = sys.exception()
        while _begun:
            config = _begun.pop()
            missing = _report(config, isinstance(stopped, KeyboardInterrupt | SystemExit))
            if isinstance(stopped, KeyboardInterrupt):  # while jobs ran in other processes
                print("segsuite: interrupted; the same command goes on", file=sys.stderr)
                raise SystemExit(130)
            if missing and stopped is None:  # else that is what is to be told
                raise JobsFailed(listed([job / f"{config.hydra.job.name}.log" for job in missing]))


def listed(logs: Sequence[Path]) -> str:
    """The jobs that have failed: the last that each said of it, and where the rest stands."""
    heading = (
        f"{len(logs)} job{'s' * (len(logs) > 1)} failed; the same command runs what is missing:"
    )
    return "\n".join([heading, *(f"  {_said(log)}\n    see {log}" for log in logs)])


def _said(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    told = [said for line in lines for _, _, said in [line.partition("[ERROR] - ")] if said]
    return told[-1] if told else f"{log.parent.name} ended without a word"


def _report(config: DictConfig, interrupted: bool) -> list[Path]:
    """Prints and writes the table; the folders of the jobs that have not finished."""
    sweep = Path(config.hydra.sweep.dir)
    swept, jobs = _expanded(config)
    if not any(job.is_dir() for job in jobs):
        return []  # nothing was begun
    metric = config.get("optimized_metric") or "result"
    if metric.endswith("/headline"):  # what it stands for is known to the jobs' tasks
        metric = next(filter(None, map(_optimized, jobs)), metric)
    rows = [
        {"job": os.path.relpath(job, sweep), **values, **_outcome(job, metric, interrupted)}
        for job, values in jobs.items()
    ]
    typed = OmegaConf.to_container(config.hydra.overrides.task)
    write_table(sweep, rows, swept, metric, typed=typed)
    return [job for job, row in zip(jobs, rows, strict=True) if row["status"] != "finished"]


def write_table(
    sweep: Path,
    rows: Sequence[dict[str, Any]],
    swept: Sequence[str],
    metric: str,
    *,
    typed: Sequence[str],
) -> None:
    """Prints the table of a sweep, and writes it to its folder as `sweep.csv` and `sweep.json`.

    Args:
        rows: of each job its folder as `job`, the values of what was swept, the metric, the status.
        swept: keys of what was swept.
        typed: the overrides on the command line.
    """
    columns = ["job", *swept, metric, "status"]
    with written_whole(sweep / "sweep.csv") as beside, open(beside, "w", newline="") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)
    _write_record(sweep / "sweep.json", typed, rows, metric)
    _print(rows, [*swept, metric, "status"], title=sweep.name)
    print(
        f"{sum(row['status'] == 'finished' for row in rows)} of {len(rows)} jobs have finished: "
        f"{sweep / 'sweep.csv'}",
        flush=True,
    )
    if any(sweep.glob("*/wandb/offline-run-*")):
        # With all starts of a run: W&B takes them in turn, and the newest has all of it.
        print(f"all of them to W&B: wandb sync {shlex.quote(str(sweep))}/*/wandb", flush=True)


def _write_record(
    path: Path, typed: Sequence[str], rows: Sequence[dict[str, Any]], metric: str
) -> None:
    """The same for other programs, see `core.results`."""
    entries = [
        Entry(
            name=row["job"],
            metrics={metric: Metric(value=row[metric])},
            settings={k: v for k, v in row.items() if k not in ("job", metric)},
            artefacts={"folder": row["job"]},
        )
        for row in rows
    ]
    record = record_of("sweep", path.parent.name, typed=typed, entries=entries)
    write_json(path, {"record": record.to_dict()})


def _optimized(job: Path) -> str | None:
    """The name of the metric that a finished job returned."""
    try:
        return (folders.recorded_result(job) or {}).get("optimized_metric")
    except ConfigError:
        return None


def _expanded(config: DictConfig) -> tuple[list[str], dict[Path, dict[str, str]]]:
    """The swept keys; and by its folder, the values of each job, as Hydra's own sweeper makes them.

    Of other sweepers, which choose as they go, the folders that are there.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    sweeper, sweep = config.hydra.sweeper, Path(config.hydra.sweep.dir)
    in_files = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    typed = OmegaConf.to_container(config.hydra.overrides.task)
    parsed = {
        o.get_key_element(): o
        for o in OverridesParser.create().parse_overrides([*in_files, *typed])
    }
    swept = {key: o.key_or_group for key, o in parsed.items() if o.is_sweep_override()}
    if not sweeper["_target_"].endswith(".BasicSweeper"):
        there = sorted(path.parent for path in sweep.glob("*/.hydra"))
        return [], {job: {} for job in there}
    values = [
        [*o.sweep_string_iterator()] if key in swept else [o.get_value_element_as_str()]
        for key, o in parsed.items()
    ]
    jobs = {}
    for chosen in product(*values):
        overrides = [f"{key}={value}" for key, value in zip(parsed, chosen, strict=True)]
        of_key = dict(zip(parsed, chosen, strict=True))
        # Not `sweep`: a name that is swept is that of a folder for each of its values.
        of_job = _value(of_key["name"]) if "name" in of_key else config.get("name")
        choices = config.hydra.runtime.choices
        parent = folders.sweep_folder(config.paths.logs, of_job, choices, overrides)
        job = parent / folders.job_folder(parent, overrides, swept.values())
        jobs[job] = {name: of_key[key] for key, name in swept.items()}
    return list(swept.values()), jobs


def _value(text: str) -> Any:
    """What a value stands for as it is typed, perhaps in quotes."""
    from segsuite.engine.launch.typed import read_override

    return read_override(f"name={text}").value()


def _outcome(job: Path, metric: str, interrupted: bool) -> dict[str, Any]:
    """The metric of a job, as far as it has one, and what became of it."""
    try:
        result = folders.recorded_result(job)
    except ConfigError:
        return {metric: None, "status": f"damaged {folders.RESULT}"}
    if result is not None:
        return {metric: result.get("optimized"), "status": "finished"}
    if not job.is_dir():
        return {metric: None, "status": "not begun"}
    return {metric: None, "status": "unfinished" if interrupted else "failed"}


def _print(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title))
    for column in columns:
        table.add_column(escape(column), overflow="fold")
    for row in rows:
        table.add_row(*(escape(_text(row[column])) for column in columns))
    Console().print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
