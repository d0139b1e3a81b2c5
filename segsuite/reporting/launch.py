"""A report as it is typed."""

import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from segsuite.core.errors import ConfigError
from segsuite.core.files import write_json
from segsuite.engine.launch.run import Run
from segsuite.reporting import workspace
from segsuite.reporting.summary import Summary, summary
from segsuite.reporting.wandb_runs import logged_from
from segsuite.reporting.written import write


def reported(run: Run, *, tell: Callable[[str], None]) -> dict[str, Any]:
    """Reads the runs and writes the report; what the last line of the output says.

    Raises:
        ConfigError: there is nothing to report.
    """
    cfg = run.config
    if not cfg.folders:
        raise ConfigError("name folders of runs: python -m segsuite.report logs/sweeps/NAME")
    if not isinstance(cfg.images, int) or cfg.images < 0:
        raise ConfigError(f"images={cfg.images} is no number of trainings; type images=24")
    _check_wandb(cfg.wandb, cfg.wandb_save)
    found = summary([str(path) for path in cfg.folders], baseline=cfg.baseline, images=cfg.images)
    for problem in found.problems:
        tell(problem)
    title = cfg.title or _title(cfg.folders)
    command = shlex.join(["python", "-m", "segsuite.report", *(run.typed or cfg.folders)])
    folder = Path(cfg.output or run.folder)
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    files: dict[str, Path | str] = dict(
        write(found, folder, title=title, made=made, command=command)
    )
    files |= _for_wandb(found, folder, title=title, save=cfg.wandb_save) if cfg.wandb else {}
    return _said(found) | {kind: str(path) for kind, path in files.items()}


def _check_wandb(asked: str | None, save: bool) -> None:
    """Raises before anything is read: what would be made of hundreds of runs takes a while."""
    if asked not in (None, "workspace"):
        raise ConfigError(f"wandb={asked} is not known; type wandb=workspace, or leave it out")
    if save and asked is None:
        raise ConfigError("wandb_save=true saves nothing without wandb=workspace")
    if asked is not None:
        workspace.check_installed()


def _for_wandb(found: Summary, folder: Path, *, title: str, save: bool) -> dict[str, Path | str]:
    """workspace.json and report.json of the trainings that W&B knows; where they were saved."""
    folders = {training.name: training.folder for training in found.trainings}
    logged = logged_from(
        list(folders.values()), title=title, baseline=folders.get(found.baseline or "")
    )
    made = {
        "workspace": workspace.workspace(logged),
        "report": workspace.report(logged, text="\n\n".join(found.problems)),
    }
    files: dict[str, Path | str] = {}
    for name, one in made.items():
        files[name] = folder / f"{name}.json"
        write_json(folder / f"{name}.json", workspace.to_json(one))
    if save:
        addresses = workspace.save(logged, text="\n\n".join(found.problems))
        files |= dict(zip(("workspace_at", "report_at"), addresses, strict=True))
    return files


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
