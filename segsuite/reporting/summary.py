"""The whole comparison: trainings, settings, what else was measured, and what could not be read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from segsuite.core.errors import ConfigError
from segsuite.core.results import Record
from segsuite.reporting.classes import ClassScores, Confusion, class_scores, confusion
from segsuite.reporting.costs import Measured, with_costs
from segsuite.reporting.curves import Curve, curves
from segsuite.reporting.finding import folders_of_runs
from segsuite.reporting.images import SameImage, same_images
from segsuite.reporting.others import Table, tables
from segsuite.reporting.seeds import Setting, by_setting, repeated
from segsuite.reporting.settings import differing, text
from segsuite.reporting.training import Training, record_of, trainings


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a report says.

    Attributes:
        headline: the metric that most trainings are judged by; None without one that finished.
        times: by training, what was measured of its checkpoints.
        columns: config keys that tell the trainings apart, swept ones first.
        differences: all config keys that not all trainings have alike.
        curves: by metric and training.
        baseline: the training that others are compared with at first.
        problems: what could not be read, in sentences.
    """

    trainings: list[Training]
    settings: list[Setting]
    headline: str | None
    times: Mapping[str, list[Measured]]
    columns: list[str]
    differences: list[str]
    curves: Mapping[str, Mapping[str, Curve]]
    classes: Mapping[str, ClassScores]
    confusions: Mapping[str, Confusion]
    images: list[SameImage]
    tables: list[Table]
    baseline: str | None
    problems: list[str]


def summary(paths: Sequence[str], *, baseline: str | None, images: int) -> Summary:
    """Reads everything below some folders.

    Args:
        baseline: name of the training that others are compared with, or a part of it that no other
            has; None is the first one that finished.
        images: how many trainings may show their images, the best ones.

    Raises:
        ConfigError: there is nothing to report, or no such baseline.
    """
    problems: list[str] = []
    tell = problems.append
    folders = folders_of_runs(paths, tell=tell)
    recorded = {folder: record_of(folder, tell=tell) for folder in folders}
    records: dict[Path, Record] = {f: record for f, record in recorded.items() if record}
    made, times = with_costs(trainings(folders, records, tell=tell), records)
    measured = tables(records)
    if not made and not measured:
        raise ConfigError(
            f"{', '.join(paths)} holds runs, but no training and no measurement that can be read"
            + "".join(f"; {problem}" for problem in problems)
        )
    headline = _commonest([t.headline for t in made if t.headline])
    best_first = sorted(made, key=lambda training: -_goodness(training, headline))
    settings = by_setting(made)
    if (again := repeated(made)) > 0:
        have = "trainings have" if again > 1 else "training has"
        tell(f"{again} {have} the setting and the seed of a newer one, which counts alone")
    differences = differing([training.settings for training in made])
    return Summary(
        trainings=made,
        settings=settings,
        headline=headline,
        times=times,
        columns=_columns(made, differences),
        differences=differences,
        curves=curves(made, tell=tell),
        classes=_known(made, class_scores, tell),
        confusions=_known(made, confusion, tell),
        images=same_images(best_first, most=images, tell=tell),
        tables=measured,
        baseline=_baseline(made, settings, baseline),
        problems=problems + _unfinished(made),
    )


def _goodness(training: Training, headline: str | None) -> float:
    value = training.metrics.get(headline or "")
    if value is None:
        return -inf
    return value if training.higher_is_better else -value


_MOST_COLUMNS = 8


def _columns(made: Sequence[Training], differences: Sequence[str]) -> list[str]:
    """Keys for the table: what was swept; else what was typed otherwise; else what differs."""
    swept = dict.fromkeys(key for training in made for key in training.swept)
    typed = dict.fromkeys(key for training in made for key in training.typed)
    told_apart = [
        key
        for key in (*swept, *typed)
        if len({value_of(training, key) for training in made}) > 1
        and key not in _NO_COLUMN
        and not key.startswith(("run.", "paths."))
    ]
    return list(dict.fromkeys(told_apart or differences))[:_MOST_COLUMNS]


_NO_COLUMN = {"name", "resume", "sweep"}


def value_of(training: Training, key: str) -> str:
    """What a training was set to: a key's value, or what was chosen of a group."""
    if key in training.settings:
        return text(training.settings[key])
    typed = training.typed.get(key, "").replace(" ", "")  # {a: 1} is {a:1}
    return training.choices.get(key) or typed or "–"


def _baseline(
    made: Sequence[Training], settings: Sequence[Setting], asked: str | None
) -> str | None:
    there = [training for training in made if training.status == "finished"]
    finished = [training.name for training in there]
    if asked is None:  # of what most of them are of
        group = _commonest([str(training.group) for training in there])
        return next((training.name for training in there if str(training.group) == group), None)
    fitting = [name for name in finished if name == asked] or [n for n in finished if asked in n]
    of_setting = {name: setting.name for setting in settings for name in setting.members}
    if len({of_setting[name] for name in fitting}) != 1:  # the seeds of a setting are one row
        what = "no finished training" if not fitting else f"{len(fitting)} trainings"
        raise ConfigError(
            f"baseline={asked} is in the name of {what}; name one of: {', '.join(finished[:20])}"
        )
    return fitting[0]


def _unfinished(made: Sequence[Training]) -> list[str]:
    """A sentence for each way not to have finished."""
    told = []
    for status, why in (("failed", "failed"), ("unfinished", "did not finish")):
        names = [training.name for training in made if training.status == status]
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            told.append(
                f"{len(names)} of {len(made)} trainings {why}: {', '.join(names[:5])}{more}"
            )
    return told


def _commonest(names: Sequence[str]) -> str | None:
    return max(dict.fromkeys(names), key=names.count, default=None)


def _known(
    made: Sequence[Training], read: Callable[..., Any], tell: Callable[[str], None]
) -> dict[str, Any]:
    all_of_them = {training.name: read(training.folder, tell=tell) for training in made}
    return {name: value for name, value in all_of_them.items() if value is not None}
