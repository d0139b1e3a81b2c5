"""A report as it is typed."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from segsuite.core.errors import ConfigError
from segsuite.engine.launch.run import Run
from segsuite.reporting.summary import Summary, summary
from segsuite.reporting.written import write


def reported(run: Run, *, tell: Callable[[str], None]) -> dict[str, Any]:
    """Reads the runs and writes the report; what the last line of the output says.

    Raises:
        ConfigError: there is nothing to report.
    """
    cfg = run.config
    if not cfg.folders:
        raise ConfigError("name folders of runs: python -m segsuite.report logs/sweeps/NAME")
    found = summary([str(path) for path in cfg.folders], baseline=cfg.baseline, images=cfg.images)
    for problem in found.problems:
        tell(problem)
    title = cfg.title or _title(cfg.folders)
    command = " ".join(["python -m segsuite.report", *map(str, cfg.folders)])
    folder = Path(cfg.output or run.folder)
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    files = write(found, folder, title=title, made=made, command=command)
    return _said(found) | {suffix: str(path) for suffix, path in files.items()}


def _title(paths: Sequence[Any]) -> str:
    names = [Path(str(path)).resolve().name for path in paths]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _said(found: Summary) -> dict[str, Any]:
    statuses = [training.status for training in found.trainings]
    return {
        "trainings": len(statuses),
        "finished": statuses.count("finished"),
        "failed": statuses.count("failed"),
        "other_tables": len(found.tables),
        "problems": found.problems,
    }
