"""The comparison as Markdown, for issues and READMEs."""

from collections.abc import Sequence
from typing import Any

from segsuite.reporting.columns import Column, columns, front, mean
from segsuite.reporting.seeds import Setting
from segsuite.reporting.summary import Summary

_MOST = 200
"""Rows of a table; the CSV file holds all of them."""


def markdown(summary: Summary, *, title: str, made: str, command: str) -> str:
    """Tables of the settings, with means over seeds, and of everything else that was measured.

    Args:
        made: when.
        command: what made it.
    """
    blocks = [f"# {cell(title)}", f"Made {made} by {cell(command)}"]
    blocks += [f"- {cell(problem)}" for problem in summary.problems]
    if summary.trainings:
        blocks += ["## Trainings", _trainings(summary)]
    for table in summary.tables:
        head = ["name", *table.settings, *table.metrics]
        rows = [
            [
                row["name"],
                *(row["settings"].get(key, "") for key in table.settings),
                *(_bounded(row["metrics"].get(name)) for name in table.metrics),
            ]
            for row in table.rows[:_MOST]
        ]
        blocks += [f"## {cell(table.title)}", cell(f"{table.machine}; {table.where}")]
        blocks.append(_table(head, rows))
    return "\n\n".join(blocks) + "\n"


def _trainings(summary: Summary) -> str:
    shown = [column for column in columns(summary) if column.main]
    best = _not_beaten(summary)
    rows = [
        [_mean(summary, setting, column, place in best) for column in shown]
        for place, setting in enumerate(summary.settings[:_MOST])
    ]
    said = _table([column.label for column in shown], rows)
    several = any(len(setting.members) > 1 for setting in summary.settings)
    notes = [
        *(["Means over seeds ± one standard deviation (number of seeds)."] if several else []),
        *(["* no other has more accuracy for fewer operations."] if best else []),
    ]
    return "\n\n".join([said, *notes])


def _not_beaten(summary: Summary) -> set[int]:
    """Places of the settings on the front of accuracy and operations; none where all are, or where
    they are of several data sets."""
    judged = [t for t in summary.trainings if t.headline == summary.headline]
    if len({training.data for training in judged}) > 1:
        return set()
    counts = [n for s in summary.settings for n in s.metrics if n.startswith("gmacs ")]
    cost = max(dict.fromkeys(counts), key=counts.count, default="")
    points = [
        (place, setting.metrics[cost].mean, setting.metrics[summary.headline].mean)
        for place, setting in enumerate(summary.settings)
        if summary.headline in setting.metrics and cost in setting.metrics
    ]
    higher = all(training.higher_is_better for training in judged)
    kept = front([point[1:] for point in points], higher_is_better=higher)
    return {points[n][0] for n in kept} if len(kept) < len(points) else set()


def _mean(summary: Summary, setting: Setting, column: Column, best: bool) -> str:
    found, deviation, count = mean(summary, setting, column)
    if found is None:
        return ""
    if isinstance(found, str):
        return found + (" *" if best and column.key == "name" else "")
    said = number(found, column)
    if deviation:
        said += f" ± {number(deviation, column)} ({count})"
    if column.key == "paper":
        by_name = {training.name: training.paper for training in summary.trainings}
        paper = by_name[setting.members[0]]
        said += f" ({paper[1]})" if paper else ""
    return said


def number(value: float, column: Column) -> str:
    """As the page shows it."""
    scaled = value * column.scale
    if scaled == int(scaled):
        return f"{scaled:g}"
    return f"{scaled:.2f}" if column.scale == 100 else f"{scaled:.4g}"


def _bounded(found: Sequence[float | None] | None) -> str:
    value, low, high = found or (None, None, None)
    if value is None:
        return ""
    return f"{value:.4g}" + ("" if low is None else f" ({low:.4g} to {high:.4g})")


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [[cell(str(text)) for text in line] for line in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Text as it is, whatever Markdown would make of it."""
    plain = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|*_`<>[]#" else letter for letter in plain)
