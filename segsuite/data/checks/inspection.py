"""What a split holds, for check_data: sizes, classes, weights, and what is wrong."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segsuite.data.checks.occurrence import Occurrence, counted
from segsuite.data.checks.segment_counts import SegmentCounts, segment_counts
from segsuite.data.checks.verify import fault_of, inspected
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Facts, Samples


@dataclass(frozen=True)
class SplitReport:
    """The statistics of a split.

    Attributes:
        occurrence: its ids, and how many samples were looked at.
        sizes: number of samples by (height, width), the commonest first.
        pixels, presence: (C,) number of labelled pixels of each class, and of samples in which it
            occurs.
        ignored: share of the pixels that have no class.
        unknown: number of pixels by raw id that the class table does not know.
        weights: (C,) median-frequency class weights; 0 for classes that do not occur.
        gaps, faults: what is missing, and what is wrong with files, which each line names.
        segments: the segments of its samples; None where instances are not read.
    """

    occurrence: Occurrence
    sizes: dict[tuple[int, int], int]
    pixels: NDArray[np.int64]
    presence: NDArray[np.int64]
    ignored: float
    unknown: dict[int, int]
    weights: NDArray[np.float64]
    gaps: list[str]
    faults: list[str]
    segments: SegmentCounts | None = None

    @property
    def loss_weights(self) -> list[float]:
        """`weights` for a loss, plain numbers in the order of the classes.

        Where not all samples were looked at, a class that was not seen may still come: it is rare,
        and has the highest weight.
        """
        unseen = 0.0 if self.occurrence.is_whole else self.weights.max(initial=0)
        return np.where(self.weights > 0, self.weights, unseen).tolist()

    @property
    def absent(self) -> list[int]:
        """Classes without a pixel."""
        return np.flatnonzero(self.pixels == 0).tolist()

    @property
    def ok(self) -> bool:
        """No file is missing or wrong; classes are judged by `occurrence.faults_of`."""
        return not (self.gaps or self.faults or self.unknown)

    def summary(self, classes: ClassTable, *, wrong: str | None = None) -> dict[str, Any]:
        """Plain types for JSON, with what is wrong with its classes."""
        return {
            "samples": self.occurrence.samples,
            "looked_at": self.occurrence.looked_at,
            "sizes": {f"{h}x{w}": n for (h, w), n in self.sizes.items()},
            "ids": {str(i): n for i, n in sorted(self.occurrence.ids.items())},
            "ignored": round(self.ignored, 6),
            "unknown_ids": {str(i): n for i, n in self.unknown.items()},
            "absent": [classes.names[c] for c in self.absent],
            "weights": [round(float(w), 4) for w in self.weights],
            "gaps": self.gaps,
            "faults": self.faults,
            **({"segments": self.segments.summary(classes)} if self.segments else {}),
            "wrong": wrong,
            "ok": self.ok and not wrong,
        }


def report(
    split: str, samples: Samples, classes: ClassTable, *, drawn: int, folder: Path | None = None
) -> SplitReport:
    """The statistics of a split: of all files, or of the first `drawn` samples if it has none."""
    if samples.files(0):
        facts = inspected(samples, folder=folder)
    else:
        facts = [samples.inspect(index) for index in range(min(drawn, len(samples)))]
    faults = [fault_of(fact, samples.files(i), classes) for i, fact in enumerate(facts)]
    pixels, presence, frequency = _per_class(facts, classes)
    seen = counted(split, facts, len(samples))
    unknown = {raw: seen.ids[raw] for raw in classes.unknown(seen.ids)}
    return SplitReport(
        occurrence=seen,
        sizes=dict(Counter(f.image_size for f in facts if f.image_size).most_common()),
        pixels=pixels,
        presence=presence,
        ignored=1 - (int(pixels.sum()) + sum(unknown.values())) / max(seen.ids.total(), 1),
        unknown=unknown,
        weights=median_frequency_weights(frequency),
        gaps=list(samples.gaps),
        faults=[fault for fault in faults if fault is not None],
        segments=segment_counts(samples.ids, facts, classes),
    )


def median_frequency_weights(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C,) weights median / frequency (Eigen and Fergus 2015); 0 for classes that do not occur.

    Shapes: frequency (C,), a class's share of the pixels of those samples in which it occurs
    """
    occurs = frequency > 0
    weights = np.zeros_like(frequency)
    if occurs.any():
        weights[occurs] = np.median(frequency[occurs]) / frequency[occurs]
    return weights


def _per_class(
    facts: list[Facts], classes: ClassTable
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(C,) pixels, (C,) samples, and (C,) share of the pixels where the class occurs."""
    number = {raw: index for index, raw in enumerate(classes.ids)}
    pixels, presence, where_present = np.zeros((3, len(classes)), np.int64)
    for fact in facts:
        everything = sum(fact.counts.values())
        for raw, count in fact.counts.items():
            if raw in number:
                pixels[number[raw]] += count
                presence[number[raw]] += 1
                where_present[number[raw]] += everything
    return pixels, presence, pixels / np.maximum(where_present, 1)
