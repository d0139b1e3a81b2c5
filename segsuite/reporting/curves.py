"""How trainings got on: their logged metrics, thinned to what a screen shows."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path

from segsuite.engine.loggers.csv import rows_of
from segsuite.reporting.training import Training

Curve = list[tuple[int, float]]
_POINTS = 24_000
"""Points of a page in all, so that hundreds of runs open at once."""
_MOST, _LEAST = 200, 20  # points of one curve


def curves(
    trainings: Sequence[Training], *, tell: Callable[[str], None]
) -> dict[str, dict[str, Curve]]:
    """By the name of the metric, and by that of the training: (iteration, value).

    The headline of the validation, the loss and the other metrics of the validation, in this order.
    """
    read = {training.name: _curves(training.folder / "metrics.csv", tell) for training in trainings}
    named = dict.fromkeys(metric for own in read.values() for metric in own)
    headlines = {(t.headline or "").replace("test/", "val/", 1) for t in trainings}
    order = sorted(named, key=lambda metric: _rank(metric, headlines))
    kept = [metric for metric in order if _rank(metric, headlines) < 3]
    count = sum(metric in own for own in read.values() for metric in kept)
    points = min(_MOST, max(_LEAST, _POINTS // max(1, count)))
    return {
        metric: {name: thinned(own[metric], points) for name, own in read.items() if metric in own}
        for metric in kept
    }


def thinned(curve: Curve, points: int) -> Curve:
    """At most so many points of a curve: means of neighbours, at the last iteration of each group.

    A metric of few validations keeps all of its points.
    """
    if len(curve) <= points:
        return curve
    bounds = [round(i * len(curve) / points) for i in range(points + 1)]
    groups = [curve[low:high] for low, high in pairwise(bounds)]
    return [(group[-1][0], sum(v for _, v in group) / len(group)) for group in groups]


def _rank(metric: str, headlines: set[str]) -> int:
    if metric in headlines:
        return 0
    if metric == "train/loss":
        return 1
    return 2 if metric.startswith(("val/", "train/")) else 3


def _curves(path: Path, tell: Callable[[str], None]) -> Mapping[str, Curve]:
    found: dict[str, Curve] = {}
    try:
        for row in rows_of(path):
            step = int(row.pop("step"))
            for name, value in row.items():
                if isfinite(number := float(value)):
                    found.setdefault(name, []).append((step, number))
    except (OSError, ValueError, KeyError, TypeError) as error:
        tell(f"{path} is damaged ({error}), so that its curves end early")
    return found
