"""The columns of the table of trainings, alike on the page, in Markdown and in CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segsuite.reporting.seeds import Setting, spread
from segsuite.reporting.summary import Summary, value_of
from segsuite.reporting.training import Training

_LABELS = {
    "miou": "mIoU %",
    "pacc": "pixel accuracy %",
    "macc": "mean accuracy %",
    "fwiou": "frequency-weighted IoU %",
    "baseline_miou": "mIoU % of the commonest class",
    "pq": "PQ %",
    "parameters": "params M",
    "gmacs": "GMACs",
    "gmacs_at_most": "GMACs at most",
    "peak_megabytes": "MB held",
}
_COSTS = ("parameters", "gmacs", "gmacs_at_most", "peak_megabytes")
Value = float | str | None


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: unlike that of any other column; metrics have the name under which they were logged.
        label: for people, with the unit.
        kind: whether it holds text or numbers, and which of two numbers is the better one.
        scale: what numbers are multiplied with to be shown.
        main: whether it is shown at first.
    """

    key: str
    label: str
    kind: Literal["text", "setting", "higher", "lower", "number"]
    scale: float = 1.0
    main: bool = True


def columns(summary: Summary) -> list[Column]:
    """What is known of any training: names and settings, metrics, costs, circumstances."""
    made = summary.trainings
    metrics = dict.fromkeys(name for training in made for name in training.metrics)
    tested = any(name.startswith("test/") for name in metrics)
    stage = "test/" if tested else "val/"
    final = [name for name in metrics if name.startswith(stage) or name == summary.headline]
    ordered = sorted(final, key=lambda name: name != summary.headline)
    lower = dict.fromkeys(str(t.headline) for t in made if not t.higher_is_better)
    where = dict.fromkeys(one.where for own in summary.times.values() for one in own)
    groups = {training.group for training in made}
    several_data = len({training.data for training in made}) > 1
    return [
        Column("name", "training", "text"),
        *([Column("group", "sweep", "text", main=len(groups) > 1)] if any(groups) else []),
        *([Column("data", "data", "text")] if several_data else []),
        *(_metric(name, main=name == summary.headline) for name in ordered if name not in lower),
        *(Column(name, name, "lower", main=name == summary.headline) for name in lower),
        *([Column("paper", "paper's mIoU %", "higher", 100)] if _any_paper(made) else []),
        *(Column(f"config:{key}", key, "setting") for key in summary.columns),
        *(_metric(name) for cost in _COSTS for name in sorted(metrics) if name.split()[0] == cost),
        *(Column(f"ms:{place}", f"ms ({place})", "lower") for place in where),
        Column("steps", "iterations", "number", main=False),
        Column("status", "status", "text", main={t.status for t in made} != {"finished"}),
    ]


def value(summary: Summary, training: Training, column: Column) -> Value:
    """What stands in a column for a training, unscaled."""
    kind, _, rest = column.key.partition(":")
    if kind == "config":
        return value_of(training, rest)
    if kind == "ms":
        own = summary.times.get(training.name, [])
        return next((one.ms.value for one in own if one.where == rest), None)
    if column.key == "paper":
        return None if training.paper is None else training.paper[0]
    if column.key in ("name", "group", "data", "steps", "status"):
        return getattr(training, column.key)
    return training.metrics.get(column.key)


def mean(summary: Summary, setting: Setting, column: Column) -> tuple[Value, float | None, int]:
    """What stands there for a setting: mean, standard deviation and number of its trainings; text
    that all of them share."""
    by_name = {training.name: training for training in summary.trainings}
    members = [by_name[name] for name in setting.members]
    values = [value(summary, training, column) for training in members]
    if column.key == "name":
        return setting.name, None, len(values)
    if column.kind in ("text", "setting"):
        shared = list(dict.fromkeys(v for v in values if v is not None))
        return ", ".join(map(str, shared[:4])) + (" ..." if len(shared) > 4 else ""), None, 0
    numbers = [number for number in values if isinstance(number, int | float)]
    if not numbers:
        return None, None, 0
    found = spread(numbers)
    return found.mean, found.deviation, found.count


def front(rows: Sequence[tuple[float, float]], *, higher_is_better: bool = True) -> list[int]:
    """The rows of (cost, quality) that no other beats in one and equals in the other, by cost."""
    sign = 1 if higher_is_better else -1
    order = sorted(range(len(rows)), key=lambda i: (rows[i][0], -sign * rows[i][1]))
    best, kept = -float("inf"), []
    for place in order:
        if sign * rows[place][1] > best:
            best = sign * rows[place][1]
            kept.append(place)
    return kept


def _metric(name: str, *, main: bool = True) -> Column:
    bare, _, shape = name.removeprefix("test/").removeprefix("val/").partition(" ")
    if bare in _COSTS:
        scale = 1e-6 if bare == "parameters" else 1.0
        label = _LABELS[bare] + (f" ({shape})" if shape else "")
        return Column(name, label, "lower", scale, main)
    if bare.startswith("miou_"):
        return Column(name, f"mIoU % of {bare.removeprefix('miou_')}", "higher", 100, main)
    known = bare in _LABELS
    kind = "higher" if known or main else "number"  # of others nobody said which way is better
    return Column(name, _LABELS.get(bare, bare), kind, 100 if known else 1.0, main)


def _any_paper(made: Sequence[Training]) -> bool:
    return any(training.paper is not None for training in made)
