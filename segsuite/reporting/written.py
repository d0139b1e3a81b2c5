"""A comparison as files: a page, Markdown and CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path

from segsuite.core.files import written_whole
from segsuite.reporting.columns import columns, value
from segsuite.reporting.html import page
from segsuite.reporting.markdown import markdown
from segsuite.reporting.page_data import page_data
from segsuite.reporting.settings import text
from segsuite.reporting.summary import Summary


def write(
    summary: Summary, folder: Path, *, title: str, made: str, command: str
) -> dict[str, Path]:
    """Writes report.html, report.md and report.csv; their paths by suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"title": title, "made": made, "command": command}
    texts = {"html": page(page_data(summary, **about)), "md": markdown(summary, **about)}
    paths = {suffix: folder / f"report.{suffix}" for suffix in (*texts, "csv")}
    for suffix, content in texts.items():
        with written_whole(paths[suffix]) as beside:
            beside.write_text(content, encoding="utf-8")
    with (
        written_whole(paths["csv"]) as beside,
        open(beside, "w", newline="", encoding="utf-8") as h,
    ):
        csv.writer(h).writerows(_lines(summary))
    return paths


def _lines(summary: Summary) -> list[Sequence[object]]:
    """A row for each training: all columns as they were logged, and all settings that differ."""
    shown = columns(summary)
    head = [*(column.key for column in shown), "seed", "folder"]
    differences = [key for key in summary.differences if f"config:{key}" not in head]
    lines: list[Sequence[object]] = [[*head, *(f"config:{key}" for key in differences)]]
    for training in summary.trainings:
        lines.append(
            [
                *(value(summary, training, column) for column in shown),
                *(training.seed, training.folder),
                *(text(training.settings.get(key)) for key in differences),
            ]
        )
    return lines
