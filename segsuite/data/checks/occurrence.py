"""Which classes of the table occur in a split, and whether they can be learnt from it."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from segsuite.core.errors import DataError, first_of
from segsuite.data.checks.instances import Instances
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Facts, Samples

_LARGE = 0.1
"""Share of the pixels from which on an ignored id may be a class that occurs nowhere."""
_MOST = 1 / 3
"""Share of ignored pixels from which on some of such classes may be, however many they are."""

_LOOKED_AT = 16
"""Samples that are looked at where files are not verified: about as many as a batch has."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Occurrence:
    """The ids in the masks of a split.

    Attributes:
        split: name of the split.
        ids: number of pixels by raw id.
        looked_at: number of masks that were looked at, out of `samples`.
        instances: its instances; None where they are not read.
    """

    split: str
    ids: Counter[int]
    looked_at: int
    samples: int
    instances: Instances | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there is no mask that was not looked at."""
        return self.looked_at == self.samples

    def present(self, classes: ClassTable) -> list[int]:
        """Classes that occur."""
        return [c for c, raw in enumerate(classes.ids) if self.ids[raw]]

    def ignored(self, classes: ClassTable) -> dict[int, float]:
        """Share of the pixels of each raw id that is read as "no class"."""
        total = max(self.ids.total(), 1)
        none = {*classes.ignored, *(() if classes.ignore is None else (classes.ignore,))}
        return {raw: self.ids[raw] / total for raw in sorted(none) if self.ids[raw]}


def occurrence(split: str, samples: Samples, facts: Sequence[Facts] = ()) -> Occurrence | None:
    """By the facts of all samples, or else of a few, evenly spread; None where they are drawn."""
    if not samples.files(0):
        return None
    if not facts:
        count = min(_LOOKED_AT, len(samples))
        chosen = np.linspace(0, len(samples) - 1, count).astype(int).tolist()
        with ThreadPoolExecutor() as threads:  # decoders release the interpreter lock
            facts = list(threads.map(samples.inspect, chosen))
    return counted(split, facts, len(samples))


def counted(split: str, facts: Sequence[Facts], samples: int) -> Occurrence:
    """What is in the masks of these facts."""
    ids: Counter[int] = Counter()
    for fact in facts:
        ids.update(fact.counts)
    return Occurrence(split, ids, len(facts), samples, Instances.of(facts))


def faults_of(seen: Sequence[Occurrence], classes: ClassTable) -> dict[str, str]:
    """By split, what cannot be meant by the class table, and what to write there.

    A split without a class or with one only, or with things of which none is an instance; or a
    class that is in none of the splits, while a large share of their pixels is ignored. Of splits
    that were not looked at as a whole, nothing.
    """
    whole = [masks for masks in seen if masks.is_whole]
    faults = {its.split: poverty(its, classes) or wrong_instances(its, classes) for its in whole}
    if any(faults.values()):
        return {split: fault for split, fault in faults.items() if fault}
    everywhere = Occurrence(
        "`, `".join(masks.split for masks in whole),
        sum((masks.ids for masks in whole), Counter()),
        sum(masks.looked_at for masks in whole),
        sum(masks.samples for masks in whole),
    )
    missing = _missing(everywhere, classes)
    return {masks.split: missing for masks in whole if missing}


def poverty(its: Occurrence, classes: ClassTable) -> str:
    """What to say of a split in which fewer than two classes occur; else nothing."""
    present = its.present(classes)
    if len(present) > 1 or not its.ids:  # of files that cannot be read something else is said
        return ""
    what = "no pixel has a class"
    if present:
        what = f"only the class `{classes.names[present[0]]}` (id {classes.ids[present[0]]}) occurs"
    return f"{what} in {_masks(its)}. {advice(its, classes)}"


def wrong_instances(its: Occurrence, classes: ClassTable) -> str:
    """What to say of a split whose instances cannot be those of its masks; else nothing."""
    return "" if its.instances is None else its.instances.fault(_things(its, classes), _masks(its))


def _things(its: Occurrence, classes: ClassTable) -> int:
    """Number of pixels of things."""
    return sum(its.ids[classes.ids[c]] for c in classes.things)


def _missing(masks: Occurrence, classes: ClassTable) -> str:
    """What to say where the classes that do not occur may be what is ignored; else nothing.

    Small data sets lack rare classes, and borders are ignored: neither alone is suspicious.
    """
    absent = len(classes) - len(masks.present(classes))
    shares = masks.ignored(classes).values()
    if not absent or (absent > sum(s >= _LARGE for s in shares) and sum(shares) < _MOST):
        return ""
    noun = "class of the table occurs" if absent == 1 else "classes of the table occur"
    return f"{absent} {noun} nowhere in {_masks(masks)}. {advice(masks, classes)}"


def _masks(masks: Occurrence) -> str:
    few = "" if masks.is_whole else f"{masks.looked_at} of the "
    return f"{few}{masks.samples:,} mask{'s' if masks.samples > 1 else ''} of split `{masks.split}`"


def advice(its: Occurrence, classes: ClassTable) -> str:
    """What the masks hold, what the table says of it, and what to write in the table."""
    total = max(its.ids.total(), 1)
    held = [f"{raw} ({pixels / total:.1%})" for raw, pixels in its.ids.most_common()]
    present = set(its.present(classes))
    absent = [c for c in range(len(classes)) if c not in present]
    told = f"The masks hold the ids {first_of(held, shown=5)}"
    if absent:
        names = [f"`{classes.names[c]}` (id {classes.ids[c]})" for c in absent]
        told += f"; the class table also has {first_of(names, shown=3)}"
    ignored = its.ignored(classes)
    others = Counter({raw: its.ids[raw] for raw in [*ignored, *classes.unknown(its.ids)]})
    if not others or not absent:
        return f"{told}. Give the class table that these masks were made with as data.classes=FILE"
    raw, name = others.most_common(1)[0][0], classes.names[absent[-1]]
    if ignored:
        told += f", and reads {first_of([str(i) for i in ignored], shown=5)} as no class"
    key = "ignore" if raw == classes.ignore else "ignored"
    out = f" and take {raw} out of `{key}` there" if raw in ignored else ""
    return f"{told}. If {raw} is `{name}`, write `{{id: {raw}, name: {name}}}` in the table{out}"


def check_training(train: Occurrence, val: Occurrence | None, classes: ClassTable) -> None:
    """Warns of what cannot be learnt or measured.

    Raises:
        DataError: there is nothing to learn: no class in the masks that are trained on, or one
            only, or things of which none is an instance; or nothing to validate: no class in those
            of validation.
    """
    if (wrong := poverty(train, classes)) and train.is_whole:
        raise DataError(f"there is nothing to learn: {wrong}")
    if (odd := wrong_instances(train, classes)) and train.is_whole:
        raise DataError(f"no instances can be learnt: {odd}")
    if val is not None and val.is_whole and not val.present(classes):
        raise DataError(f"there is nothing to validate: {poverty(val, classes)}")
    if said := wrong or _missing(train, classes):
        logger.warning("%s", said)
    _warn_of_instances(train, classes)


def check_scores(its: Occurrence, classes: ClassTable) -> None:
    """Warns of a split with fewer than two classes: its scores say little, or are nan."""
    if wrong := poverty(its, classes):
        logger.warning("%s", wrong)
    _warn_of_instances(its, classes)


def _warn_of_instances(its: Occurrence, classes: ClassTable) -> None:
    """Of those that cannot be right, or may be wrong."""
    if its.instances is None or not its.ids or not classes.things:
        return
    of_these = _things(its, classes), _masks(its)
    if said := its.instances.fault(*of_these) or its.instances.doubt(*of_these):
        logger.warning("%s", said)
