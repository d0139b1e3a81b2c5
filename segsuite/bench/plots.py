"""Operations and time of each part as bars (the paper's figure 1.3)."""

from collections.abc import Sequence
from pathlib import Path

from segsuite.bench.measurement import Measurement
from segsuite.core.files import written_whole
from segsuite.measure.breakdown import Part

_OPERATIONS, _TIME = "#3b6ea8", "#d9822b"


def save_breakdown(measured: Sequence[Measurement], path: str | Path, *, title: str) -> None:
    """Writes one row of bars per network: GMACs on the left axis, milliseconds on the right.

    All rows share their scales, so that they can be compared by eye.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    longest = max(len(m.parts) for m in measured)
    figure = Figure(figsize=(max(0.55 * longest + 1.5, 7), 2.7 * len(measured) + 0.6), dpi=110)
    FigureCanvasAgg(figure)  # no window system is needed
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    most = max(p.cost.gmacs for m in measured for p in m.parts) or 1.0
    slowest = max(1e3 * (p.seconds or 0) for m in measured for p in m.parts) or 1.0
    for row, measurement in enumerate(measured):
        left = figure.add_subplot(len(measured), 1, row + 1)
        right = left.twinx()
        places = range(len(measurement.parts))
        left.bar(
            [p - 0.2 for p in places],
            [p.cost.gmacs for p in measurement.parts],
            0.4,
            color=_OPERATIONS,
        )
        right.bar(
            [p + 0.2 for p in places],
            [1e3 * (p.seconds or 0) for p in measurement.parts],
            0.4,
            color=_TIME,
        )
        left.set_ylim(0, 1.05 * most)
        right.set_ylim(0, 1.05 * slowest)
        left.set_ylabel("GMACs", color=_OPERATIONS)
        right.set_ylabel("ms", color=_TIME)
        left.set_xticks(
            list(places), _labels(measurement.parts), rotation=45, ha="right", fontsize=7
        )
        seconds = sum(p.seconds or 0 for p in measurement.parts)
        heading = (
            f"{measurement.name}: {measurement.everything.gmacs:.2f} GMACs, {1e3 * seconds:.1f} ms"
        )
        left.set_title(heading, loc="left", fontsize=9)
    figure.tight_layout()
    with written_whole(path) as beside:
        figure.savefig(beside)


def _labels(parts: Sequence[Part]) -> list[str]:
    """Names without what all of a group share: "blocks 5" for `backbone.blocks.5`."""
    return [" ".join(part.name.split(".")[-2:]) for part in parts]
