"""How many segments a split has: instances of things, stuff, and crowds, by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import first_of
from segsuite.data.checks.instances import Instances, repainted
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Facts


@dataclass(frozen=True)
class SegmentCounts:
    """The segments of the samples that were looked at.

    Attributes:
        segments: (C,) instances of things, and for stuff the images that it is in.
        crowds: (C,) images in which things of a class are not told apart; 0 for stuff.
        without: samples in which nothing is a thing, neither an instance nor a crowd.
        odd: (sample, instance) where an instance lies on several classes, or on one that is stuff.
        looked_at: how many samples were looked at.
        repainted: share of the pixels of instances whose mask said another class.
    """

    segments: NDArray[np.int64]
    crowds: NDArray[np.int64]
    without: list[str]
    odd: list[tuple[str, str]]
    looked_at: int
    repainted: float

    def of(self, classes: ClassTable, *, things: bool) -> int:
        """How many segments are of things, without crowds, or of stuff."""
        return int(sum(n for c, n in enumerate(self.segments) if (c in classes.things) == things))

    def summary(self, classes: ClassTable) -> dict[str, Any]:
        """Plain types for JSON."""
        return {
            "things": self.of(classes, things=True),
            "stuff": self.of(classes, things=False),
            "crowds": int(self.crowds.sum()),
            "by_class": self.segments.tolist(),
            "images_without_things": len(self.without),
            "odd_instances": len(self.odd),
            "repainted": round(self.repainted, 6),
        }

    def remarks(self, classes: ClassTable) -> list[str]:
        """One line each for what there is, and for what may be wrong."""
        things, stuff = (self.of(classes, things=kind) for kind in (True, False))
        lines = [
            f"segments: {things:,} of things, {stuff:,} of stuff, {self.crowds.sum():,} crowds",
        ]
        if self.without:
            lines.append(
                f"without any thing: {len(self.without):,} of {self.looked_at:,} images, such as "
                f"{first_of(self.without, shown=3)}"
            )
        if self.odd:
            shown = [f"{where} of {sample}" for sample, where in self.odd]
            lines.append(
                f"odd instances: {len(self.odd):,}, such as {first_of(shown, shown=3)}; each is "
                "expected on one class that is a thing, as the mask beside it says"
            )
        if self.repainted:
            lines.append(repainted(self.repainted))
        return lines


def segment_counts(
    ids: Sequence[str], facts: Sequence[Facts], classes: ClassTable
) -> SegmentCounts | None:
    """Of the samples with these ids; None where instances are not read."""
    seen = [(i, f.segments, f.counts) for i, f in zip(ids, facts, strict=False) if f.segments]
    if not seen:
        return None
    number = {raw: c for c, raw in enumerate(classes.ids)}
    segments, crowds = np.zeros((2, len(classes)), np.int64)
    without, odd = [], []
    for sample, its, pixels in seen:
        present = [number[raw] for raw in pixels if raw in number]
        for c in present:
            raw = classes.ids[c]
            if c not in classes.things:
                segments[c] += 1
            else:
                segments[c] += its.instances.get(raw, 0)
                crowds[c] += raw in its.loose
        if classes.things.isdisjoint(present):
            without.append(sample)
        odd += [(sample, f"{instance}") for instance in its.mixed]
        odd += [
            (sample, f"{count} on `{classes.names[number[raw]]}`")
            for raw, count in its.instances.items()
            if raw in number and number[raw] not in classes.things
        ]
    everywhere = Instances.of(facts)
    share = 0.0 if everywhere is None else everywhere.share
    return SegmentCounts(segments, crowds, without, odd, len(seen), share)
