"""Where runs live, and how they are named. Imports nothing heavy.

    logs/train/<name>/<timestamp>/     a single run
    logs/sweeps/<sweep>/<swept>-<digest of all overrides>/   one job of a sweep

A run is finished when `result.json` is there. It can be resumed when the file is there that its
entry point goes on from, which `run.json` names: of a training `checkpoints/last.ckpt`.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from segsuite.core.errors import ConfigError
from segsuite.engine.launch.ranks import begun

RESULT = "result.json"
CONFIG = "config.yaml"
RUN = "run.json"
GOES_ON_FROM = "goes_on_from"
"""The key in run.json of the file that a run goes on from."""
LAST = Path("checkpoints") / "last.ckpt"
BEST = Path("checkpoints") / "best.ckpt"

_LONGEST = 80
_MOST = 255
"""Characters that file systems take in a name."""
_NOT_IN_NAME = ("sweep", "resume", "run.", "paths.", "hydra.", "hydra/")
"""Overrides that change where or how a job runs, but not what it computes."""

_LESS_TELLING = (
    *("experiment", "data", "data.root", "method", "name", "allow", "debug"),
    *("trainer", "trainer.", "logger", "logger.", "callbacks", "callbacks."),
)
"""Overrides that jobs of one sweep tend to have in common."""


def run_name(name: str | None, choices: Mapping[str, str | None]) -> str:
    """The name given, or that of the experiment, or of the method."""
    return name or choices.get("experiment") or choices.get("method") or "unnamed"


def parent(name: str, folder: Any) -> Path:
    """The folder that a key such as `paths.logs` names.

    Raises:
        ConfigError: it names none; text would make a folder called None of it, or begin at /.
    """
    if not isinstance(folder, str) or not folder.strip():
        said = "null" if folder is None else folder
        raise ConfigError(f"{name}={said} is no folder; type {name}=FOLDER, or leave it out")
    return Path(folder)


def fresh(parent: str | Path, name: str) -> Path:
    """A folder of its own: named by the time to the microsecond, or as ranks have agreed."""
    return Path(parent) / clean(name) / begun()


def resumable(parent: str | Path, name: str) -> Path:
    """The newest run of that name that has something to go on from and no result.

    Raises:
        ConfigError: there is none.
    """
    runs = Path(parent) / clean(name)
    started = [folder for folder in runs.glob("*") if (folder / goes_on_from(folder)).exists()]
    unfinished = [folder for folder in started if recorded_result(folder) is None]
    if not unfinished:
        finished = max((path.parent for path in runs.glob(f"*/{RESULT}")), default=None)
        newest = f" (the newest, {finished.name}, has finished)" if finished else ""
        raise ConfigError(
            f"resume=true: no unfinished run with a file to go on from in {runs}/*{newest}; leave "
            "resume out, to start a new run or to go on from a checkpoint of your choice by "
            "ckpt_path=FILE"
        )
    return max(unfinished, key=_age)


def _age(folder: Path) -> str:
    """What sorts runs by when they were begun: their name, but where it is a number of Slurm's."""
    if not folder.name.startswith("slurm-"):
        return folder.name
    first = ((read_record(folder / RUN) or {}).get("starts") or [{}])[0]
    return str(first.get("time", "")).replace("T", "_")


def goes_on_from(folder: Path) -> Path:
    """The file in a run's folder that it goes on from: as noted by the entry point that began it,
    a training's last checkpoint where none is noted."""
    noted = None
    with suppress(ConfigError):  # a damaged note is told when it is to be written again
        noted = (read_record(folder / RUN) or {}).get(GOES_ON_FROM)
    return Path(noted) if isinstance(noted, str) else LAST


def sweep_folder(
    logs: Any, name: Any, choices: Mapping[str, str | None], typed: Sequence[str] = ()
) -> Path:
    """The folder of a sweep, named by its file, by all of several (`seeds+theta`), or by `name`.

    A sweep over experiments, each of which has a name, is called `experiments` where no name is
    typed: it has one folder and one table.

    Args:
        typed: the overrides; Hydra's choices do not name several files of one group, and
            `run.swept` says what was swept.
    """
    several = [o[len("sweep=[") : -1].replace(",", "+") for o in typed if o.startswith("sweep=[")]
    several_experiments = re.compile(r"run\.swept=\[(.*,)?['\"]?experiment['\"]?(,.*)?\]")
    swept = [o for o in typed if several_experiments.fullmatch(o)]
    if swept and not any(o.lstrip("+").startswith("name=") for o in typed):
        name = "experiments"
    sweeps = parent("paths.logs", logs) / "sweeps"
    return sweeps / clean("".join(several[-1:]) or choices.get("sweep") or name or "unnamed")


def job_name(overrides: Sequence[str], swept: Collection[str] = ()) -> str:
    """A job's folder: what was swept, and ten digits of all that counts: `windows=103,seed=1-...`.

    The order in which overrides were typed does not matter; keys are cut to their last part.

    Args:
        swept: keys of what was swept; where none is known, the folder is named by everything.
    """
    telling = [o for o in _that_count(overrides) if _key(o) in swept]
    if not telling:
        return _named_by_everything(overrides)
    return f"{_shortened(telling)}-{_digest(overrides)[:10]}"


def job_folder(sweep: str | Path, overrides: Sequence[str], swept: Collection[str] = ()) -> str:
    """The name of a job's folder within a sweep's, which may be there already.

    A job that was typed otherwise before, as one of fewer, is the same job; and so is one whose
    folder was named by everything, as all were once.
    """
    known = sorted(Path(sweep).glob(f"*-{_digest(overrides)[:10]}"))
    former = _named_by_everything(overrides)
    if known:
        return known[0].name
    return former if (Path(sweep) / former).is_dir() else job_name(overrides, swept)


def _named_by_everything(overrides: Sequence[str]) -> str:
    that_count = _that_count(overrides)
    if not that_count:
        return "default"
    telling_first = sorted(that_count, key=lambda override: _is_about(_LESS_TELLING, override))
    return f"{_shortened(telling_first)}-{_digest(overrides)[:6]}"


def _that_count(overrides: Sequence[str]) -> list[str]:
    return sorted(o for o in overrides if not _is_about(_NOT_IN_NAME, o))


def _digest(overrides: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(_that_count(overrides)).encode()).hexdigest()


def _is_about(keys: Sequence[str], override: str) -> bool:
    key = _key(override)
    return any(key == k or (k[-1] in "./" and key.startswith(k)) for k in keys)


def _key(override: str) -> str:
    return override.lstrip("+~").split("=", 1)[0]


def _shortened(overrides: Sequence[str]) -> str:
    last_parts = (re.sub(r"^[^=]*\.", "", override) for override in overrides)
    return clean(",".join(last_parts))[:_LONGEST].rstrip(".,-_=")


def clean(name: str) -> str:
    """`name` with everything that could trouble a file system replaced by a dash; one that is
    longer than it takes is cut, and told from others by its digest."""
    cleaned = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", str(name)).strip("-.") or "unnamed"
    if len(cleaned) <= _MOST:
        return cleaned
    return f"{cleaned[:_LONGEST]}-{hashlib.sha256(str(name).encode()).hexdigest()[:10]}"


def begun_by_hydra(folder: str | Path) -> bool:
    """Whether a run's folder, before its job, holds nothing but what Hydra has just written there.

    A log that is not empty, as any other file, is of an earlier run or somebody else's.
    """
    folder = Path(folder)
    paths = folder.iterdir() if folder.is_dir() else ()
    written = folder / ".hydra"
    known = {written / f"{name}.yaml" for name in ("config", "hydra", "overrides")}
    return all(p == written or (_is_log(p) and p.stat().st_size == 0) for p in paths) and (
        not written.is_dir() or known.issuperset(written.iterdir())
    )


def discard_if_bare(folder: str | Path, *, up_to: str | Path) -> None:
    """Removes a run's folder that holds nothing but what its start wrote: a refused run's.

    To be asked for only where `begun_by_hydra` was true before the job.

    Args:
        up_to: the topmost of the folders above it that go too, where nothing else is in them.
    """
    folder, top = Path(folder).absolute(), Path(up_to).absolute()
    with suppress(OSError):  # the refusal is what the user is to read
        of_start = (".hydra", CONFIG, RUN)  # by Hydra, and the record of a run's start
        if not all(path.name in of_start or _is_log(path) for path in folder.iterdir()):
            return
        shutil.rmtree(folder)
        for above in folder.parents:
            if not above.is_relative_to(top):
                return
            above.rmdir()  # refused where something is in it


def _is_log(path: Path) -> bool:
    return path.suffix == ".log" and path.is_file()


def recorded_result(folder: str | Path) -> dict[str, Any] | None:
    """The result of a finished run, or None.

    Raises:
        ConfigError: there is one that was damaged.
    """
    return read_record(Path(folder) / RESULT)


def read_record(path: Path) -> dict[str, Any] | None:
    """What stands in a JSON file of a run's folder, or None where there is no such file.

    Raises:
        ConfigError: it is no JSON, or no mapping; with what to do.
    """
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(record, dict):
        raise damaged(path, "no mapping of keys")
    return record


def read_best(path: Path) -> dict[str, Any]:
    """What `best.json` holds; nothing where none was written yet.

    `score` of the best checkpoint by `monitor` and its `step`, which are absent until a validation
    gave a number; the step of the last validation as `validated`, and its `figures`.

    Raises:
        ConfigError: it is damaged.
    """
    noted = read_record(path)
    if noted is None:
        return {}
    numbers = [noted[key] for key in ("score", "validated") if key in noted]
    if not numbers or not all(map(_is_number, numbers)):
        raise damaged(path, "no score and no step of a validation")
    if not isinstance(noted.get("figures", {}), dict):
        raise damaged(path, "no figures of a validation")
    return noted


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def damaged(path: Path, why: str) -> ConfigError:
    """The error about a record of a run that cannot be read, with what goes on without it."""
    remedy = _WITHOUT.get(path.name, "it is written anew")
    size = path.stat().st_size if path.exists() else 0
    what = "is empty" if not size else f"is damaged ({why})"
    return ConfigError(f"{path} {what}: {remedy}, so delete it and type the same command again")


_WITHOUT = {
    RESULT: "with resume=true (in a sweep without) the final test alone is made again",
    RUN: "it is written anew, without the earlier starts",
    CONFIG: "it is written anew, and what was changed meanwhile is not told",
    "best.json": "the next validation then counts as the best one so far, and replaces best.ckpt",
}
