"""A comparison as tables for people."""

from collections.abc import Sequence

from rich.table import Table

from segsuite.bench.measurement import Measurement
from segsuite.engine.accuracy import Accuracy, scored_on
from segsuite.measure.latency import Latency, Ratio
from segsuite.measure.tokens import shown


def cost_table(measured: Sequence[Measurement], title: str) -> Table:
    """Parameters, operations by counting, by formula and by the paper, and tokens, an image."""
    several = len({measurement.num_classes for measurement in measured}) > 1
    table = _table(
        title,
        *(["classes"] if several else []),
        "params M",
        "GMACs",
        "without policy",
        "closed form",
        "as fvcore",
        "paper",
        "tokens",
    )
    for measurement in measured:
        spread = f" ± {measurement.spread / 1e9:.2f}" if measurement.spread else ""
        table.add_row(
            measurement.name,
            *([str(measurement.num_classes)] if several else []),
            f"{measurement.parameters / 1e6:.2f}",
            f"{measurement.everything.gmacs:.3f}{spread}",
            f"{measurement.as_published.gmacs:.3f}",
            "–" if measurement.closed_form is None else f"{measurement.closed_form.gmacs:.3f}",
            f"{measurement.as_published.gfvcore:.3f}",
            _published(measurement),
            "–" if measurement.tokens is None else shown(measurement.tokens),
        )
    table.caption = (
        "a multiply-add counts once; fvcore adds norms and resizes, and leaves the policy out as "
        "papers do"
        + ("; *: not the paper's network" if any(m.is_another for m in measured) else "")
    )
    return table


def speed_table(measured: Sequence[Measurement], title: str) -> Table:
    """Milliseconds, images a second and ratios to the first network, and peak memory, by batch.

    The mIoU beside them where it was measured.
    """
    scored = next((m.accuracy for m in measured if m.accuracy is not None), None)
    timing = ("batch", "ms (p10–p90)", "img/s", "times", "with labels ms", "img/s", "times", "MB")
    table = _table(title, *timing, *([scored.title] if scored else []))
    interval = next(iter(measured[0].speed.values())).labels_ratio.interval
    for batch in measured[0].speed:
        for row, measurement in enumerate(measured):
            speed = measurement.speed[batch]
            table.add_row(
                measurement.name,
                str(batch),
                *_timing(speed.network, speed.network_ratio, is_first=not row),
                *_timing(speed.labels, speed.labels_ratio, is_first=not row),
                "–" if speed.peak is None else f"{speed.peak / 1e6:.0f}",
                *([_scored(measurement.accuracy, scored)] if scored else []),
            )
        table.add_section()
    table.caption = (
        f"in turns; times: median of the paired ratios to the first network ({interval}); "
        "MB: peak beyond weights and images, uncompiled; on a CPU, of live tensors"
    )
    if scored:
        table.caption += f"; {scored.title}: {scored_on(scored, measured[0].size)}"
    return table


def parts_table(measured: Sequence[Measurement]) -> Table:
    """GMACs and milliseconds of each part, an image at batch 1."""
    names = list(dict.fromkeys(part.name for measurement in measured for part in measurement.parts))
    names = _in_running_order(names, measured)
    table = Table(title="part by part: GMACs | ms", title_justify="left")
    table.add_column("part", overflow="fold")
    for measurement in measured:
        table.add_column(measurement.name, justify="right", overflow="fold")
    for name in names:
        row = []
        for measurement in measured:
            part = next((p for p in measurement.parts if p.name == name), None)
            if part is None:
                row.append("")
                continue
            seconds = "–" if part.seconds is None else f"{1e3 * part.seconds:.2f}"
            row.append(f"{part.cost.gmacs:.3f} | {seconds}")
        table.add_row(name, *row)
    return table


def paper_table(measured: Sequence[Measurement]) -> Table | None:
    """What the papers print for these experiments; None when they print nothing."""
    known = [measurement for measurement in measured if measurement.published is not None]
    if not known:
        return None
    table = _table("the papers' figures (not ours)", "GFLOPs", "of", "ours", "mIoU", "FPS", "on")
    for measurement in known:
        paper = measurement.published
        table.add_row(
            measurement.name,
            f"{paper.gflops:g}",
            f"{paper.size[0]}x{paper.size[1]}, {paper.classes} classes",
            "of another task"
            if measurement.beside_paper is None
            else f"{measurement.as_published.gfvcore:.1f}",
            f"{paper.miou:g}",
            f"{paper.fps:g}",
            paper.device,
        )
    table.caption = "; ".join(sorted({measurement.published.source for measurement in known}))
    return table


def _published(measurement: Measurement) -> str:
    """The paper's count where it is of the same task."""
    if not measurement.comparable:
        return "–"
    return f"{measurement.published.gflops:g}{'*' if measurement.is_another else ''}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("network", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _scored(accuracy: Accuracy | None, first: Accuracy) -> str:
    """A cell of the column that the first metric heads; another metric says its name."""
    if accuracy is None or accuracy.metric == first.metric:
        return str(accuracy or "–")
    return f"{accuracy.title} {accuracy}"


def _timing(latency: Latency | None, ratio: Ratio | None, *, is_first: bool) -> tuple[str, ...]:
    """Milliseconds, images a second, and times as fast as the first."""
    if latency is None:
        return "–", "–", "–"
    return (
        f"{1e3 * latency.median:.1f} ({1e3 * latency.p10:.1f}–{1e3 * latency.p90:.1f})",
        f"{latency.images_per_second:.2f}",
        "1" if is_first else "–" if ratio is None else _times(ratio),
    )


def _times(ratio: Ratio) -> str:
    return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def _in_running_order(names: Sequence[str], measured: Sequence[Measurement]) -> list[str]:
    """Parts of all networks, each behind what runs before it: by their relative place."""

    def place(name: str) -> float:
        places = [
            index / len(measurement.parts)
            for measurement in measured
            for index, part in enumerate(measurement.parts)
            if part.name == name
        ]
        return sum(places) / len(places)

    return sorted(names, key=place)
