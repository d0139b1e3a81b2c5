"""Runs that differ in their seed alone, as one: mean and spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from segsuite.engine.launch.folders import RESULT
from segsuite.reporting.settings import differing, text, without_seed
from segsuite.reporting.training import Training


@dataclass(frozen=True)
class Spread:
    """A metric over seeds.

    Attributes:
        deviation: the sample's standard deviation; None for one seed.
    """

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.4g}" + ("" if self.deviation is None else f" ± {self.deviation:.2g}")


@dataclass(frozen=True)
class Setting:
    """Trainings of one setting.

    Attributes:
        name: as that of its trainings, without their seeds.
        members: names of the trainings.
        metrics: over those that finished.
    """

    name: str
    members: tuple[str, ...]
    metrics: Mapping[str, Spread]


def by_setting(trainings: Sequence[Training]) -> list[Setting]:
    """One for each setting, in the order of the trainings.

    Trainings whose settings are not known stand alone, as do those of other sweeps, which may be of
    another state of the code, and of other names, which somebody gave to tell them apart. Of those
    that have a seed in common the newest counts, and the others stand alone: a repetition says
    nothing of other seeds.
    """
    groups: dict[tuple[str, ...], list[Training]] = {}
    for training, again in zip(trainings, _repeats(trainings), strict=True):
        alone = again or not training.settings
        key = (training.name,) if alone else _setting_of(training)
        groups.setdefault(key, []).append(training)
    return _named_apart([_setting(group) for group in groups.values()], list(groups.values()))


def repeated(trainings: Sequence[Training]) -> int:
    """How many trainings have the setting and the seed of a newer one."""
    return sum(_repeats(trainings))


def _setting_of(training: Training) -> tuple[str, ...]:
    alike = [f"{k}={text(v)}" for k, v in sorted(without_seed(training.settings).items())]
    return (training.group or f"named {training.folder.parent.name}", *alike)


def _repeats(trainings: Sequence[Training]) -> list[bool]:
    """Whether each has the setting and the seed of another one that counts: the newest that has
    finished, or where none has, the newest."""
    counts: dict[tuple[str, ...], Training] = {}
    keys = [(*_setting_of(t), f"seed {t.seed}") for t in trainings]
    known = [training.settings and training.seed is not None for training in trainings]
    for key, training, comparable in zip(keys, trainings, known, strict=True):
        if comparable and (key not in counts or _age(training) > _age(counts[key])):
            counts[key] = training
    return [
        bool(comparable) and counts[key] is not training
        for key, training, comparable in zip(keys, trainings, known, strict=True)
    ]


def _age(training: Training) -> tuple[bool, float, str]:
    """Later trainings have a larger one, and those that have finished a larger one than others."""
    result = training.folder / RESULT
    at = result if result.exists() else training.folder
    return training.status == "finished", at.stat().st_mtime, str(training.folder)


def _named_apart(
    settings: Sequence[Setting], groups: Sequence[Sequence[Training]]
) -> list[Setting]:
    """With what tells them apart behind names that several have."""
    named = []
    for setting in settings:
        alike = [g[0] for s, g in zip(settings, groups, strict=True) if s.name == setting.name]
        own = next(t for t in alike if t.name == setting.members[0])
        keys = [key for key in differing([t.settings for t in alike]) if key != "seed"][:_TOLD]
        told = ", ".join(f"{key.rpartition('.')[2]}={text(own.settings.get(key))}" for key in keys)
        named.append(replace(setting, name=f"{setting.name}, {told}" if told else setting.name))
    return named


_TOLD = 3
"""Keys that a name is told apart by, at most."""


def _setting(members: Sequence[Training]) -> Setting:
    metrics = dict.fromkeys(name for training in members for name in training.metrics)
    found = {
        name: [value for t in members if (value := t.metrics.get(name)) is not None]
        for name in metrics
    }
    return Setting(
        name=_shared_name([t.name for t in members], members[0].group or members[0].experiment),
        members=tuple(training.name for training in members),
        metrics={name: spread(values) for name, values in found.items() if values},
    )


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of at least one value."""
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def _shared_name(names: Sequence[str], otherwise: str | None) -> str:
    """What the names of jobs have in common, without their seeds.

    Args:
        otherwise: what they are called where their seeds are all that they are named by.
    """
    if len(names) == 1:
        return names[0]
    if len(bare := {name.rpartition(" (")[0] for name in names}) == 1 and all(bare):
        return bare.pop()  # runs of one name, which their folders' times tell apart
    group, colon, first = names[0].rpartition(": ")
    others = [name.rpartition(": ")[2].split(",") for name in names[1:]]
    shared = [part for part in first.split(",") if all(part in other for other in others)]
    return f"{group}{colon}{','.join(shared)}" if shared else otherwise or names[0]
