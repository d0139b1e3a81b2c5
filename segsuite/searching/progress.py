"""How a search gets on: hypervolume, the best of each number of branches, a plot that grows."""

import csv
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from segsuite.core.files import written_whole
from segsuite.searching.objectives import HIGHER, UNITS, Goals, dominates
from segsuite.searching.result import SearchResult
from segsuite.searching.strategies import needed_pareto

TABLE, PLOT = "progress.csv", "front.png"
_QUALITY = "mIoU by the supernet, held-out images"
_PRINTED, _MEASURED = "others: printed mIoU, trained by themselves, val", "others"
_COLORS = {1: "#3b6ea8", 2: "#d9822b", 3: "#4d9a5b"}


def volumes(result: SearchResult, reference: Mapping[str, float]) -> list[float]:
    """The hypervolume after each evaluation, in shares of the whole.

    The whole is between the reference and the best that there could be: a mIoU of 1, and nothing of
    anything else. Architectures that exceed a limit do not count.

    Args:
        reference: metrics of what every architecture of use should beat.
    """
    goals, pareto = result.goals, needed_pareto()
    found, best, volume = [], [], 0.0
    for metrics in (entry["metrics"] for entry in result.entries):
        if goals.complete(metrics) and goals.kept(metrics):
            own = _shares(goals, metrics, reference)
            if not any((other <= own).all() for other in best):
                best = [other for other in best if not dominates(own, other)] + [own]
                volume = pareto.hypervolume(np.stack(best), np.ones(len(own)))
        found.append(volume)
    return found


def _shares(goals: Goals, metrics: Mapping[str, float], reference: Mapping[str, float]) -> Any:
    """What is missing from the best, by objective: 0 for the best, 1 for the reference."""
    return np.array(
        [
            1 - (metrics[name] if name in HIGHER else 1 - metrics[name] / reference[name])
            for name in goals.names
        ]
    )


def best_of_branches(result: SearchResult) -> dict[int, dict[str, Any]]:
    """Of each number of branches, the most accurate architecture within limits."""
    name = result.goals.quality or result.goals.names[0]
    sign = -1 if name in HIGHER else 1
    found: dict[int, dict[str, Any]] = {}
    for entry in result.entries:
        metrics, best = entry["metrics"], found.get(_branches(entry))
        if not result.goals.complete(metrics) or not result.goals.kept(metrics):
            continue
        if best is None or sign * metrics[name] < sign * best["metrics"][name]:
            found[_branches(entry)] = entry
    return dict(sorted(found.items()))


class Progress:
    """Writes what was found so far into a folder.

    Args:
        reference: see `volumes`.
        baselines: gives metrics of other networks by their names, for the same axes; those without
            a mIoU are lines. Asked once, when there is something to draw.
    """

    def __init__(
        self,
        folder: Path,
        reference: Mapping[str, float],
        baselines: Callable[[], Mapping[str, Mapping[str, float]]] = dict,
    ) -> None:
        self.folder, self.reference, self.baselines = folder, reference, cache(baselines)

    def __call__(self, result: SearchResult) -> str:
        """Writes; one sentence."""
        grown = volumes(result, self.reference)
        self._write_table(result, grown)
        save_front(result, self.folder / PLOT, baselines=self.baselines())
        first = result.goals.quality or result.goals.names[0]
        best = ", ".join(
            f"{count} {entry['metrics'][first]:.4g}"
            for count, entry in best_of_branches(result).items()
        )
        return (
            f"hypervolume {grown[-1]:.4f} after {len(grown)} evaluations; best {first} by the "
            f"number of branches: {best}"
        )

    def _write_table(self, result: SearchResult, grown: Sequence[float]) -> None:
        names = list(result.goals.metrics)
        with written_whole(self.folder / TABLE) as beside, open(beside, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["evaluation", "key", "branches", *names, "hypervolume"])
            for number, (entry, volume) in enumerate(
                zip(result.entries, grown, strict=True), start=1
            ):
                branches = len(entry["architecture"]["branches"])
                own = [entry["metrics"].get(name) for name in names]
                writer.writerow([number, entry["key"], branches, *own, volume])


def save_front(
    result: SearchResult, path: Path, *, baselines: Mapping[str, Mapping[str, float]]
) -> None:
    """All that was evaluated, the front, and other networks; accuracy is upright."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    upright = result.goals.quality or result.goals.names[0]
    others = [name for name in result.goals.metrics if name != upright] or [upright]
    figure = Figure(figsize=(6.2 * len(others), 4.6), dpi=110)
    FigureCanvasAgg(figure)  # no window system is needed
    for place, across in enumerate(others):
        axes = figure.add_subplot(1, len(others), place + 1)
        for count, color in _COLORS.items():
            own = [e["metrics"] for e in result.entries if _branches(e) == count]
            own = [metrics for metrics in own if result.goals.complete(metrics)]
            if own:
                x, y = [m[across] for m in own], [m[upright] for m in own]
                label = f"{count} branch{'es' if count > 1 else ''}"
                axes.scatter(x, y, s=9, color=color, alpha=0.5, linewidths=0, label=label)
        best = sorted((e["metrics"][across], e["metrics"][upright]) for e in result.best)
        line = "o-k" if len(result.goals.names) < 3 else "ok"  # of more, a panel shows a shadow
        axes.plot([x for x, _ in best], [y for _, y in best], line, lw=0.8, ms=3.5, label="best")
        _draw_others(axes, baselines, across, upright, printed=upright == result.goals.quality)
        axes.set_xscale("log")
        for part in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            part(LogFormatter(minor_thresholds=(2, 0.5)))
        axes.set_xlabel(UNITS.get(across, across))
        axes.set_ylabel(
            _QUALITY if upright == result.goals.quality else UNITS.get(upright, upright)
        )
        if place == 0:
            axes.legend(fontsize=7)
    figure.tight_layout()
    with written_whole(path) as written:
        figure.savefig(written)


def _draw_others(
    axes: Any,
    others: Mapping[str, Mapping[str, float]],
    across: str,
    upright: str,
    *,
    printed: bool,
) -> None:
    """Networks that were not searched: points, or lines where the upright metric is not known.

    Args:
        printed: whether the upright metric is a figure that others print.
    """
    points = {n: (m[across], m[upright]) for n, m in others.items() if {across, upright} <= {*m}}
    if points:
        x, y = zip(*points.values(), strict=True)
        label = _PRINTED if printed else _MEASURED
        axes.scatter(x, y, marker="x", color="crimson", label=label)
    for name, place in points.items():
        axes.annotate(name, place, fontsize=7)
    for name, metrics in others.items():
        if across in metrics and name not in points:
            axes.axvline(metrics[across], color="crimson", lw=0.6, ls=":")
            low = (metrics[across], 0.02)
            axes.annotate(name, low, xycoords=("data", "axes fraction"), rotation=90, fontsize=7)


def _branches(entry: Mapping[str, Any]) -> int:
    return len(entry["architecture"]["branches"])
