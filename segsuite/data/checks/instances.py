"""Whether the instances of a split can be right: those of things are there, and fit the masks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from segsuite.data.samples import Facts

_FEW = 0.05
"""Share of the pixels of instances, beyond borders, from which on they may be those of others."""
_MOST = 0.5
"""Share from which on they are."""


@dataclass(frozen=True)
class Instances:
    """The instances of the samples that were looked at.

    Attributes:
        count: how many there are.
        pixels: how many pixels they have.
        repainted: those of them whose mask said another class.
    """

    count: int
    pixels: int
    repainted: int = 0

    @classmethod
    def of(cls, facts: Iterable[Facts]) -> Self | None:
        """Those of all facts; None where instances are not read."""
        seen = [fact.segments for fact in facts if fact.segments is not None]
        if not seen:
            return None
        return cls(
            sum(sum(its.instances.values()) for its in seen),
            sum(its.pixels for its in seen),
            sum(its.repainted for its in seen),
        )

    @property
    def share(self) -> float:
        """Of their pixels, those whose mask said another class."""
        return self.repainted / max(self.pixels, 1)

    def fault(self, things: int, masks: str) -> str:
        """What cannot be meant; nothing where all may be right.

        Args:
            things: number of pixels of classes that are things.
            masks: which masks were looked at, in words.
        """
        if not self.count and things:
            return (
                f"{things:,} pixels are of things, but none of an instance in {masks}: all are "
                "crowds. Files of instances are expected, such as Cityscapes' *_instanceIds.png "
                "and not *_labelIds.png; give theirs as data.reader.instances.pattern=... (in "
                "COCO's JSON files, things that are told apart have `iscrowd: 0`), or read "
                "classes alone with data.instances=false"
            )
        if self.share > _MOST:
            return f"{repainted(self.share)} (in {masks})"
        return ""

    def doubt(self, things: int, masks: str) -> str:
        """What may be wrong, where nothing must be; else nothing."""
        if not self.count and not things:
            return (
                f"there is no thing and no instance in {masks}; if there should be, look at "
                "data.reader.instances.pattern"
            )
        return f"{repainted(self.share)} (in {masks})" if self.share > _FEW else ""


def repainted(share: float) -> str:
    """What to say of instances that were painted over another class."""
    return (
        f"{share:.2%} of the pixels of instances are of another class in the mask (the instance's "
        "counts); of more than a few percent, the class table has its things in another order than "
        "these files, or they are those of other images: give the files' own table as "
        "data.classes=FILE, or their pattern as data.reader.instances.pattern=..."
    )
