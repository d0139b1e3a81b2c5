"""Where runs are below some folders, and what cannot be read there."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from segsuite.core.errors import ConfigError
from segsuite.engine.launch.folders import RESULT, RUN

SWEEP = "sweep.json"


def folders_of_runs(paths: Sequence[str | Path], *, tell: Callable[[str], None]) -> list[Path]:
    """The folders of runs, each once, in the order of their paths.

    Args:
        paths: folders, or what is in the folder of a run, such as its checkpoint.
        tell: hears of a folder without runs.

    Raises:
        ConfigError: a path that is not there, or no run below any of them.
    """
    runs: dict[Path, None] = {}
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise ConfigError(
                f"{path} is not there; name folders of runs, such as logs/sweeps/NAME or logs"
            )
        below = [folder.resolve() for folder, names in _folders(path) if _is_run(names)]
        if not below and (around := _run_around(path.resolve())) is not None:
            below = [around]
        if not below:
            tell(f"{path} holds no run")
        runs.update(dict.fromkeys(below))
    if not runs:
        raise ConfigError(
            f"there is no run in {', '.join(map(str, paths))}: the folder of a run holds {RUN} or "
            f"{RESULT}"
        )
    return list(runs)


def _run_around(path: Path) -> Path | None:
    """The folder of the run that a file or folder is of."""
    return next((folder for folder in path.parents if _is_run(_names(folder))), None)


def _folders(top: Path) -> Iterator[tuple[Path, set[str]]]:
    """A folder and those below it; nothing is looked for within a run."""
    for folder, below, files in os.walk(top):
        names = {*files, *below}
        yield Path(folder), names
        below[:] = [] if _is_run(names) else sorted(below)


def _is_run(names: set[str]) -> bool:
    # A job that failed early has left nothing but what Hydra wrote.
    return bool(names.intersection((RESULT, RUN))) or {".hydra", "train.log"} <= names


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:  # not ours to read, far above the run
        return set()
