"""How trainings got on: their logged metrics, thinned to what a screen shows."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean

from segsuite.engine.loggers.csv import rows_of
from segsuite.reporting.training import Training

Curve = list[tuple[int, float]]
_POINTS = 24_000
"""Points of a page in all, about, so that hundreds of runs open at once."""
_MOST, _LEAST = 200, 20  # points of one curve
_NEEDED = 2  # metrics that are kept however many runs there are: the headline and the loss


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
    while len(kept) > _NEEDED and _LEAST * _count(kept, read) > _POINTS:
        kept.pop()
    points = min(_MOST, max(_LEAST, _POINTS // max(1, _count(kept, read))))
    return {metric: _of_metric(metric, read, points) for metric in kept}


def _count(metrics: Sequence[str], read: Mapping[str, Mapping[str, Curve]]) -> int:
    return sum(metric in own for own in read.values() for metric in metrics)


def _of_metric(
    metric: str, read: Mapping[str, Mapping[str, Curve]], points: int
) -> dict[str, Curve]:
    """By training; all of them thinned at the same iterations, so that means are of all seeds."""
    own = {name: curves[metric] for name, curves in read.items() if metric in curves}
    steps = sorted({step for curve in own.values() for step, _ in curve})
    chosen = steps
    if len(steps) > points:
        chosen = [steps[round((n + 1) * len(steps) / points) - 1] for n in range(points)]
    return {name: thinned(curve, chosen) for name, curve in own.items()}


def thinned(curve: Curve, steps: Sequence[int]) -> Curve:
    """The means of a curve from each of these iterations to the next, at the latter; those between
    which nothing was logged are left out.

    Args:
        steps: rising; the last one is not before the end of the curve.
    """
    groups: dict[int, list[float]] = {}
    for step, value in curve:
        groups.setdefault(steps[bisect_left(steps, step)], []).append(value)
    return [(step, fmean(values)) for step, values in sorted(groups.items())]


def _rank(metric: str, headlines: set[str]) -> int:
    if metric in headlines:
        return 0
    if metric == "train/loss":
        return 1
    return 2 if metric.startswith(("val/", "train/")) else 3


def _curves(path: Path, tell: Callable[[str], None]) -> Mapping[str, Curve]:
    found: dict[str, Curve] = {}
    try:
        rows = rows_of(path)
        if not rows and path.exists():
            tell(f"{path} holds no row, so that it has no curves")
        for row in rows:
            step = int(row.pop("step"))
            for name, value in row.items():
                if isfinite(number := float(value)):
                    found.setdefault(name, []).append((step, number))
    except (OSError, ValueError, KeyError, TypeError) as error:
        tell(f"{path} is damaged ({error}), so that its curves end early")
    return found
