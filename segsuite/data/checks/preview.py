"""What people see of a data set: a table of its classes, and an image of samples and palette."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segsuite.core.errors import DataError, first_of
from segsuite.core.files import write_json, written_whole
from segsuite.data.checks.inspection import SplitReport
from segsuite.data.class_table import ClassTable
from segsuite.data.palette import colourise, instance_borders, overlay
from segsuite.data.samples import Sample, Samples
from segsuite.data.transforms.geometry import resized_ids, whole

_HEIGHT = 240
_GAP = 8
_LINE = 20
_ROWS = 60


def write_table(report: SplitReport, classes: ClassTable) -> None:
    """Prints a split's statistics: a table of its classes, then what is missing or wrong."""
    console, seen = Console(), report.occurrence
    table = Table(title=f"{seen.split}: {seen.samples} samples", title_justify="left")
    counted = () if report.segments is None else ("segments", "crowds")
    for heading in ("id", "class", "pixels", "share", "samples", "weight", *counted):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    labelled = max(int(report.pixels.sum()), 1)
    order = np.argsort(-report.pixels, kind="stable")
    for c in order[:_ROWS] if len(classes) > _ROWS else range(len(classes)):
        table.add_row(
            str(classes.ids[c]),
            escape(classes.names[c]),
            f"{report.pixels[c]:,}",
            f"{report.pixels[c] / labelled:.2%}",
            str(report.presence[c]),
            f"{report.weights[c]:.3f}",
            *(f"{getattr(report.segments, kind)[c]:,}" for kind in counted),
        )
    console.print(table)
    for line in _remarks(report, classes):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def write_preview(
    samples: Samples, classes: ClassTable, path: Path, *, count: int, split: str
) -> None:
    """Writes a PNG: some samples (image, labels, overlay) beside the colours in them."""
    shown = _readable(samples, count)
    strips = [_strip(sample, classes) for sample in shown]
    width = max((strip.width for strip in strips), default=_HEIGHT)
    occurring = _occurring(shown)
    height = max((_HEIGHT + _GAP) * len(strips), _LINE * (len(occurring) + 2))
    sheet = Image.new("RGB", (width + 280, height), "white")
    for number, strip in enumerate(strips):
        sheet.paste(strip, (0, number * (_HEIGHT + _GAP)))
    _legend(sheet, width + 12, classes, occurring, split)
    with written_whole(path) as beside:
        sheet.save(beside)


def write_weights(reports: Mapping[str, SplitReport], path: Path) -> None:
    """Writes the class weights of the split that is trained on, and says how to use them."""
    if (report := reports.get("train")) is not None and report.weights.any():
        # By digits and not by places: of a frequent class 0.00004 must not become 0.
        write_json(path, [float(f"{weight:.6g}") for weight in report.loss_weights])
        print(f"class weights (median frequency): type method.loss.class_weights={path}")


def _remarks(report: SplitReport, classes: ClassTable) -> list[str]:
    """One line each for sizes, ignored pixels and whatever is amiss."""
    sizes = [f"{n} of {h}x{w}" for (h, w), n in report.sizes.items()]
    lines = [f"sizes (height x width): {first_of(sizes)}", f"ignored pixels: {report.ignored:.2%}"]
    if not report.occurrence.is_whole:
        looked_at = report.occurrence.looked_at
        lines.append(f"looked at the first {looked_at} only, since they are drawn")
    if report.absent:
        lines.append(f"absent classes: {first_of([classes.names[c] for c in report.absent])}")
    if report.unknown:
        unknown = [f"{raw} ({pixels:,} pixels)" for raw, pixels in report.unknown.items()]
        lines.append(f"ids out of range: {first_of(unknown)}")
    if report.segments is not None:
        lines += report.segments.remarks(classes)
    for title, faults in (("missing", report.gaps), ("faulty", report.faults)):
        if faults:
            lines.append(f"{title}: " + first_of(list(faults), f"\n{title}: "))
    return lines


def _readable(samples: Samples, count: int) -> list[Sample]:
    """Up to `count` samples evenly spread over the split; faulty ones are in the report already."""
    wanted = np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)
    readable = []
    for index in wanted.tolist():
        try:
            readable.append(samples[index])
        except DataError:
            continue
    return readable


def _strip(sample: Sample, classes: ClassTable) -> Image.Image:
    """Image, labels and overlay side by side, `_HEIGHT` pixels high; instances have borders."""
    label = sample.label.numpy()
    panels: list[NDArray[np.uint8]] = [
        sample.image.permute(1, 2, 0).numpy(),
        colourise(label, classes.colors),
        overlay(sample.image, label, classes.colors),
    ]
    width = max(round(_HEIGHT * label.shape[1] / label.shape[0]), 1)
    borders = None
    if sample.instances is not None:  # of what is shown: scaled down, thin lines would come and go
        borders = instance_borders(resized_ids(sample.instances, whole((_HEIGHT, width))).numpy())
    strip = Image.new("RGB", (3 * width + 2 * _GAP, _HEIGHT), "white")
    for number, panel in enumerate(panels):
        how = Image.Resampling.NEAREST if number == 1 else Image.Resampling.BILINEAR
        image = Image.fromarray(np.ascontiguousarray(panel)).resize((width, _HEIGHT), how)
        if borders is not None and number:
            image.paste("white", mask=Image.fromarray(borders))
        strip.paste(image, (number * (width + _GAP), 0))
    return strip


def _occurring(samples: list[Sample]) -> list[int]:
    """Classes that occur in the samples, the commonest first, as many as the legend holds."""
    labels = [sample.label.numpy().ravel() for sample in samples]
    present, pixels = np.unique(np.concatenate([*labels, np.zeros(0, int)]), return_counts=True)
    order = np.argsort(-pixels, kind="stable")
    return [int(c) for c in present[order] if c >= 0][:_ROWS]


def _legend(
    sheet: Image.Image, left: int, classes: ClassTable, occurring: list[int], split: str
) -> None:
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    pen.text((left, 4), f"{split}: {len(occurring)} classes shown", "black", font)
    for line, c in enumerate(occurring, start=1):
        top = line * _LINE + 4
        pen.rectangle((left, top, left + 24, top + 14), fill=tuple(classes.colors[c].tolist()))
        pen.text((left + 32, top), f"{classes.ids[c]}  {classes.names[c]}", "black", font)
