"""The interpolations that config files may use beside OmegaConf's own. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segsuite.core.errors import ConfigError
from segsuite.engine.launch import folders


def register() -> None:
    """Makes `${classes_in:}`, `${or_none:}`, `${two_thirds:}`, `${tenth:}` and those of folders."""
    for name, resolver in {
        "classes_in": _classes_in,
        "or_none": _or_none,
        "sweep_folder": _sweep_folder,
        "job_name": _job_name,
        "tune_folder": _tune_folder,
        "unless_finished": _unless_finished,
        "two_thirds": _two_thirds,
        "twice": _twice,
        "tenth": _tenth,
    }.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    # Cached: a run folder is named by the time, and every look at it must see the same.
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True, use_cache=True)


def _classes_in(table: str) -> int:
    """How many classes a class table has, by its name or path."""
    from segsuite.data.class_table import count_classes

    return count_classes(table)


def _or_none(value: Any, other: Any) -> Any:
    """`other`, or "none" where `value` is "none": `${or_none:${method.pruning},exits}`."""
    return "none" if value == "none" else other


def _two_thirds(sides: Sequence[int]) -> list[int]:
    """Two thirds of each side, rounded down: the stride of windows that overlap by a third."""
    return [max(side * 2 // 3, 1) for side in sides]


def _twice(number: int) -> int:
    """Twice the number: the side of a window of 2x2 patches."""
    return 2 * number


def _tenth(number: Any, most: int) -> int:
    """A tenth of the number, from 1 to `most`; `most` where it is none."""
    return min(max(number // 10, 1), most) if isinstance(number, int) else most


def run_folder(
    logs: Any, entry_point: str, name: Any, choices: Mapping[str, str | None], resume: bool
) -> str:
    """The folder of a single run: a new one, or with resume=true the newest unfinished one."""
    name = folders.run_name(name, choices)
    if not isinstance(resume, bool):
        raise ConfigError(f"resume={resume} is neither true nor false")
    parent = folders.parent("paths.logs", logs) / entry_point
    return str(folders.resumable(parent, name) if resume else folders.fresh(parent, name))


def _sweep_folder(
    logs: Any, name: Any, choices: Mapping[str, str | None], typed: Sequence[str] = ()
) -> str:
    return str(folders.sweep_folder(logs, name, choices, typed))


def _tune_folder(logs: Any, name: Any, choices: Mapping[str, str | None]) -> str:
    """That of a search for settings stands among those of sweeps."""
    return str(folders.sweep_folder(logs, f"tune-{folders.run_name(name, choices)}", {}))


def _unless_finished(folder: str, name: str) -> str | None:
    """`name`; null for a job that has finished, in whose folder nothing is written again."""
    return None if (Path(folder) / folders.RESULT).exists() else name


def _job_name(
    sweep: str, overrides: Sequence[str], typed: Sequence[str], params: Mapping[str, Any] | None
) -> str:
    """The folder of one job, named by what was swept on the command line and in a sweep's file."""
    return folders.job_folder(sweep, overrides, {*typed, *(params or ())})
