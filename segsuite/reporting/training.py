"""A training as a comparison sees it."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from segsuite.bench.paper import printed_mious
from segsuite.core.errors import ConfigError, SegsuiteError
from segsuite.core.results import Entry, Record, read
from segsuite.engine.launch import folders, record
from segsuite.reporting.finding import SWEEP
from segsuite.reporting.settings import choices_of, settings_of, typed_of

Status = Literal["finished", "unfinished", "failed"]
_DIGEST = re.compile(r"-[0-9a-f]{6,10}$")


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a training left in its folder.

    Attributes:
        name: unlike that of any other training of the comparison.
        group: name of its sweep; None for a single run.
        metrics: final metrics by the names under which they were logged, and what the network
            costs, see `sized_metrics`.
        headline: the metric that it is judged by, such as `test/miou`; None where it has none.
        higher_is_better: whether a higher headline is a better one.
        settings: its config by dotted keys, with references in place.
        choices: what was chosen of each group of configs.
        swept: keys that its sweep varied.
        paper: mIoU of 1 that a paper prints for the experiment, and the data set that it is of.
        machine, commit: as the record has them.
    """

    folder: Path
    name: str
    group: str | None
    status: Status
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    headline: str | None = None
    higher_is_better: bool = True
    steps: int | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)
    swept: Sequence[str] = ()
    paper: tuple[float, str] | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    commit: Mapping[str, Any] | None = None
    command: Sequence[str] = ()
    tested: str = ""

    @property
    def experiment(self) -> str | None:
        """The experiment that was chosen, if one was."""
        return self.choices.get("experiment")

    @property
    def data(self) -> str | None:
        """The data set that was chosen."""
        return self.choices.get("data")


def trainings(
    found: Sequence[Path], records: Mapping[Path, Record], *, tell: Callable[[str], None]
) -> list[Training]:
    """The trainings among the folders of runs, with names that tell them apart.

    Args:
        records: what the finished runs recorded.
        tell: hears of what cannot be read; the rest of a training is still there.
    """
    here = [folder for folder in found if _is_training(folder, records.get(folder))]
    sweeps = {above: _sweep_record(above) for above in {folder.parent for folder in here}}
    made = [_training(f, records.get(f), sweeps[f.parent], tell) for f in here]
    return _told_apart(made)


_OF_A_SIZE = ("gmacs", "gmacs_at_most", "peak_megabytes")


def sized_metrics(entry: Entry) -> dict[str, float | None]:
    """The metrics of an entry. What depends on the size of the images is called by it, too, so that
    figures of two sizes never share a column: `gmacs 256x320`."""
    shape = shape_of(entry)
    return {
        f"{name} {shape}" if name in _OF_A_SIZE else name: value
        for name, metric in entry.metrics.items()
        if (value := metric.value) is None or isfinite(value)
    }


def shape_of(entry: Entry) -> str:
    """The size of the images, as text."""
    size = entry.settings.get("size")
    return "x".join(map(str, size)) if isinstance(size, list | tuple) else "of unknown size"


def record_of(folder: Path, *, tell: Callable[[str], None]) -> Record | None:
    """What a run recorded; None where it has not finished, or that cannot be read."""
    path = folder / folders.RESULT
    if not path.exists():
        return None
    try:
        return read(path)
    except SegsuiteError as error:
        if not _measures_nothing(path):
            tell(f"left out: {error}")
        return None


def _measures_nothing(path: Path) -> bool:
    """Whether a result has no record since it is none of a measurement, as that of check_data."""
    try:
        return not {"record", "metrics"} & (folders.recorded_result(path.parent) or {}).keys()
    except ConfigError:
        return False


def _is_training(folder: Path, known: Record | None) -> bool:
    if known is not None:
        return known.kind == "train"
    if (folder / folders.RESULT).exists():
        return False  # damaged or of another version, which was told
    try:
        noted = folders.read_record(folder / folders.RUN) or {}
    except ConfigError:
        noted = {}
    # A job that failed before it began has no note, but a log.
    return noted.get(folders.GOES_ON_FROM) == folders.LAST.as_posix() or (
        not noted and (folder / "train.log").exists()
    )


def _sweep_record(folder: Path) -> Record | None:
    """What a sweep recorded at its end; None of a folder that is none, or has not ended."""
    try:
        return read(folder / SWEEP)
    except SegsuiteError:
        return None


def _training(
    folder: Path, known: Record | None, sweep: Record | None, tell: Callable[[str], None]
) -> Training:
    def readable(what: Callable[[Path], Any], otherwise: Any) -> Any:
        try:
            return what(folder)
        except (SegsuiteError, OSError, ValueError, TypeError, AttributeError) as error:
            tell(f"{folder.name}: {error}")
            return otherwise

    settings = readable(settings_of, {})
    choices = readable(choices_of, {})
    started = readable(record.starts, None) or {"starts": []}
    result = readable(folders.recorded_result, None) or {} if known is not None else {}
    metrics: dict[str, float | None] = {}
    if known is not None and known.entries:
        metrics = sized_metrics(known.entries[0])
    group, data = _group(folder), choices.get("data")
    miou = printed_mious().get(data or "", {}).get(choices.get("experiment", ""))
    last = (started["starts"] or [{}])[-1]
    return Training(
        folder=folder,
        name=_DIGEST.sub("", folder.name) if group else _name(folder, known),
        group=group,
        status="finished" if known is not None else _unfinished(folder, sweep),
        metrics=metrics,
        headline=result.get("optimized_metric"),
        higher_is_better=result.get("higher_is_better") is not False,
        steps=result.get("steps"),
        seed=settings.get("seed") if isinstance(settings.get("seed"), int) else None,
        settings=settings,
        choices=choices,
        typed=readable(typed_of, {}),
        swept=_swept(sweep),
        paper=None if miou is None else (miou / 100, str(data)),
        machine=known.machine if known is not None else {},
        commit=known.commit if known is not None else last.get("git"),
        command=last.get("command") or (),
        tested=str(result.get("test") or ""),
    )


def _unfinished(folder: Path, sweep: Record | None) -> Status:
    """Whether the sweep that a run is of has ended without it."""
    entries = () if sweep is None else sweep.entries
    statuses = [e.settings.get("status") for e in entries if Path(e.name).name == folder.name]
    return "failed" if "failed" in statuses else "unfinished"


def _group(folder: Path) -> str | None:
    above = folder.parent
    return above.name if above.parent.name == "sweeps" or (above / SWEEP).exists() else None


def _name(folder: Path, known: Record | None) -> str:
    return known.name if known is not None else folder.parent.name  # logs/train/NAME/TIME


def _swept(sweep: Record | None) -> list[str]:
    """The keys that a sweep varied."""
    entries = () if sweep is None else sweep.entries
    return [key for key in (entries[0].settings if entries else ()) if key != "status"]


def _told_apart(made: Sequence[Training]) -> list[Training]:
    """With the sweep in front where there are several, and the folder behind names of several."""
    if len({training.group for training in made}) > 1:
        made = [replace(t, name=f"{t.group}: {t.name}") if t.group else t for t in made]
    for more in (lambda t: t.folder.name, lambda t: str(t.folder)):
        counts = Counter(training.name for training in made)
        made = [replace(t, name=f"{t.name} ({more(t)})") if counts[t.name] > 1 else t for t in made]
    return list(made)
